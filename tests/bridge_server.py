"""`napari-hae serve` as a child process that ends with the test, and tells its beam.

Modules named in the variable BLOCKED cannot be imported, as where they are not
installed. Each change of the simulated beam is a line on stderr.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

BLOCKED = set(os.environ.get("BLOCKED", "").split())


class NotInstalled:
    """Finds nothing: what it is asked for is not installed."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def end_with_the_test():
    # Not by sys.stdin, whose lock would be held when the interpreter ends.
    while os.read(0, 100):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(20)
    os._exit(3)


def tell_the_beam():
    from napari_hae.instruments.simulated import SimulatedMicroscope

    def state(self):
        return self.__dict__["beam told"]

    def change(self, beam):
        if self.__dict__.get("beam told") != beam:
            sys.stderr.write(f"BEAM {beam}\n")
            sys.stderr.flush()
        self.__dict__["beam told"] = beam

    SimulatedMicroscope._beam = property(state, change)


if __name__ == "__main__":
    sys.meta_path.insert(0, NotInstalled())
    threading.Thread(target=end_with_the_test, daemon=True).start()
    from napari_hae.cli import main

    tell_the_beam()
    code = main(["serve", *sys.argv[1:]])
    loaded = {name.partition(".")[0] for name in sys.modules}
    sys.stderr.write(f"LOADED {' '.join(sorted(loaded & BLOCKED))}\n")
    sys.exit(code)
