"""A Tiled server that ends when its standard input is closed.

    python tiled_process.py CATALOG FOLDER API_KEY

serves the HDF5 files of a folder that are registered in the catalog, on a free port.
"""

from __future__ import annotations

import os
import sys
import threading

from tiled.commandline.main import main

READY = "Uvicorn running on "


def _end_with_the_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    catalog, folder, api_key = sys.argv[1:]
    place = ["--host", "127.0.0.1", "--port", "0"]
    data = [catalog, "--init", "--read", folder, "--api-key", api_key]
    main(["serve", "catalog", *data, *place])
