from __future__ import annotations

import gc
import os
import signal
import sys
from collections import Counter
from contextlib import ExitStack

import pytest
from hypothesis import settings

from groups import TOGETHER, group_of, group_scheduler
from virtual_display import missing, virtual_display

# Threads that wait for each other make small matrices slow on a busy machine, and so do
# those that draw without a graphics card. Read when the libraries are loaded, which no
# test did yet.
for _variable in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "LP_NUM_THREADS",
):
    os.environ.setdefault(_variable, "1")

# What is ignored by whoever runs the tests in the background, as with nohup, would be
# ignored by the programs that are to be ended by it, too.
if sys.platform != "win32":
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says nothing about whether it is right.
settings.register_profile("ci", deadline=None)
settings.register_profile("nightly", deadline=None, max_examples=1000)

SCREEN = "1600x1000"
_display = pytest.StashKey[ExitStack]()


def pytest_addoption(parser):
    group = parser.getgroup("napari-hae")
    group.addoption(
        "--nightly",
        action="store_true",
        help="also run what takes long: the tests marked `nightly`, longer searches",
    )
    group.addoption(
        "--on-screen",
        action="store_true",
        help="open the windows on the display that is there, to see them",
    )


def pytest_configure(config):
    settings.load_profile("nightly" if config.getoption("--nightly") else "ci")
    is_controller = bool(getattr(config.option, "tx", None)) and not hasattr(
        config, "workerinput"
    )
    if is_controller or sys.platform != "linux" or config.getoption("--on-screen"):
        return
    if lacking := missing():
        if "DISPLAY" in os.environ:
            return
        raise pytest.UsageError(
            f"The tests open windows and need {' and '.join(lacking)}: install them, "
            "or give a display with --on-screen."
        )
    display = config.stash[_display] = ExitStack()
    os.environ["DISPLAY"] = display.enter_context(virtual_display(SCREEN))


def pytest_unconfigure(config):
    if (display := config.stash.get(_display, None)) is not None:
        display.close()


def pytest_collection_modifyitems(config, items):
    """Leave out what is for the night, and order what the workers share out."""
    if not config.getoption("--nightly"):
        nightly = [item for item in items if item.get_closest_marker("nightly")]
        config.hook.pytest_deselected(items=nightly)
        items[:] = [item for item in items if item not in set(nightly)]
    weights = Counter()
    for item in items:
        has_window = "make_napari_viewer" in item.fixturenames
        weights[group_of(item.nodeid)] += 5 if has_window else 1
    # Long groups go first, so that no worker is left with one at the end.
    items.sort(
        key=lambda item: (
            group_of(item.nodeid) != TOGETHER,
            -weights[group_of(item.nodeid)],
            group_of(item.nodeid),
        )
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    if config.getoption("dist") == "loadfile":
        return group_scheduler(config, log)
    return None


@pytest.fixture(scope="session")
def loaded():
    """The libraries of the window, loaded and out of the garbage collector's way.

    napari's viewer fixture collects before and after each test, for a third of a second
    where it looks through all that is loaded.
    """
    import napari_hae.gui.cockpit  # noqa: F401

    gc.collect()
    gc.freeze()


@pytest.fixture
def cockpit(loaded, make_napari_viewer, tmp_path, qtbot):
    """The plugin's docks in a real window, in the way napari opens them."""
    from napari_hae.gui.cockpit import Cockpit
    from napari_hae.gui.held_still import HeldStill
    from napari_hae.gui.sessions import Dock

    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1400, 900)
    cockpit = Cockpit(viewer)
    cockpit.viewer = viewer
    cockpit.session = cockpit.experiment.session
    cockpit.session.record_folder = tmp_path
    window, canvas = viewer.window._qt_window, viewer.window._qt_viewer.canvas.native
    # A dock's buttons do something when it has joined the window.
    docks = window.findChildren(Dock)
    qtbot.waitUntil(lambda: docks and all(each.findChild(HeldStill) for each in docks))
    # On a busy machine the window is drawn late, and its docks take their room then;
    # what was fitted to the canvas before would reach out of it.
    with qtbot.waitExposed(window):
        pass
    qtbot.waitUntil(
        lambda: canvas.height() + cockpit.monitor.height() < window.height()
    )
    yield cockpit
    cockpit.session.close()


@pytest.fixture
def connected(cockpit, qtbot):
    """The cockpit with the simulated microscope connected by its button."""
    from qtpy.QtCore import Qt

    with qtbot.waitSignal(cockpit.session.connection.changed, timeout=30_000):
        qtbot.mouseClick(cockpit.microscope.connect_button, Qt.MouseButton.LeftButton)
    return cockpit


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory):
    """Where the device servers write, and Tiled reads."""
    return tmp_path_factory.mktemp("acquisitions")


@pytest.fixture(scope="session")
def tiled_process(tmp_path_factory, data_folder):
    """A Tiled server that is starting."""
    from tango_stack import served_tiled

    catalog = tmp_path_factory.mktemp("tiled") / "catalog.db"
    served = served_tiled(catalog, data_folder)
    yield served
    served.close()


@pytest.fixture(scope="session")
def stack(data_folder):
    """Device servers as asyncroscopy has them, in a process of their own."""
    from tango_stack import Stack, served_devices

    served = served_devices(data_folder)
    yield Stack(served.wait())
    served.close()


@pytest.fixture
def connect(stack):
    """Connects a microscope of a family, and gives its lever with it."""
    connected = []

    def connect(family, **more):
        lever = stack.lever(family)
        microscope = stack.microscope(family, **more)
        microscope.connect()
        connected.append(microscope)
        return microscope, lever

    yield connect
    for microscope in connected:
        microscope.disconnect()


@pytest.fixture
def on_tiled(stack, tiled_process):
    """The settings of the microscope with its data on the Tiled server."""
    from tango_stack import API_KEY

    uri = tiled_process.wait()
    stack.lever("tiled").pull(tiled=[uri, API_KEY])
    return {"tiled_uri": uri, "tiled_api_key": API_KEY}


@pytest.fixture
def paused(connected, qtbot):
    """A run that is paused after 12 steps."""
    from qtpy.QtCore import Qt

    from napari_hae.experiment.events import RunPhase
    from napari_hae.experiment.settings import Budget
    from steered import step, until

    session = connected.session
    connected.show_experiment()
    session.configure(budget=Budget(steps=40))
    qtbot.mouseClick(connected.experiment.controls.step, Qt.MouseButton.LeftButton)
    until(qtbot, lambda: session.state is RunPhase.PAUSED)
    step(connected, qtbot, 12)
    yield connected
    session.abort()
    until(qtbot, lambda: not session.is_running)
