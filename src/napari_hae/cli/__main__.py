"""Entry point of `python -m napari_hae.cli`, the same as `napari-hae`."""

import sys

from napari_hae.cli import main

if __name__ == "__main__":
    sys.exit(main())
