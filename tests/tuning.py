"""A run that is tuned: where it would have gone, and what changes in the window."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import numpy as np

from lab import TIMEOUT_S, path_of
from napari_hae.experiment.record import Record
from napari_hae.experiment.runner import Runner
from napari_hae.experiment.settings import Budget, ExperimentSettings
from napari_hae.gui.layers import Role
from napari_hae.instruments.catalogue import guarded
from napari_hae.instruments.simulated_settings import SimulatedSettings
from steered import entries, until

TUNED_AT = 12
"""So many steps are done when something is changed."""
MAPS = Role.MEAN, Role.STD, Role.ACQUISITION


def seeded_path(folder, steps, microscope=None, **sections):
    """The pixels of the run of the same seed without a window.

    Parameters
    ----------
    sections
        Settings that are changed after `TUNED_AT` steps.
    """
    used = microscope or SimulatedSettings()
    instrument = guarded("simulated", used)
    instrument.connect()
    settings = ExperimentSettings(budget=Budget(steps=40))
    record = Record.create(
        folder, instrument="simulated", instrument_settings=used, settings=settings
    )
    runner = Runner(instrument, record, settings)
    runner.start(paused=True)
    _take(runner, TUNED_AT)
    runner.configure(**sections)
    _take(runner, steps - TUNED_AT)
    runner.stop()
    assert runner.wait(TIMEOUT_S)
    instrument.disconnect()
    return path_of(runner.measurements)


def _take(runner, steps):
    """Take steps, one by one as in the window."""
    wanted, done = len(runner.measurements) + steps, threading.Event()

    def on_measured():
        if len(runner.measurements) == wanted:
            done.set()

    runner.events.measured.connect(on_measured)
    for _ in range(steps):
        runner.step()
    assert done.wait(TIMEOUT_S)
    runner.events.measured.disconnect(on_measured)


def shown(cockpit, role):
    """The data of a map that is shown."""
    return np.array(cockpit.session.layers.map_layer(role).data)


def targets(cockpit):
    """The targets in the table of the measured points."""
    return list(cockpit.session.layers.measured_layer.features["target"])


@contextmanager
def redraws(cockpit, qtbot, *roles):
    """What is done meanwhile redraws maps, before anything more is measured."""
    taken = len(cockpit.session.live.measurements)
    before = {role: shown(cockpit, role) for role in roles}
    yield
    for role, data in before.items():
        until(
            qtbot,
            lambda role=role, data=data: (
                not np.array_equal(shown(cockpit, role), data, equal_nan=True)
            ),
        )
    assert len(cockpit.session.live.measurements) == taken


def change_of(cockpit, section):
    """The newest line of the journal in which a section was changed by a person."""
    changes = [
        entry
        for entry in entries(cockpit, "settings")
        if section in entry["changes"] and entry["who"] == "human"
    ]
    return changes[-1] if changes else None


def old_and_new(cockpit, section, *names):
    """Old and new values of fields, in the newest line that changed their section."""
    change = change_of(cockpit, section)["changes"][section]
    return tuple(tuple(change[when][name] for name in names) for when in ("old", "new"))
