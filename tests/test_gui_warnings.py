"""Warnings come from real causes in a real window, and what they advise ends them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from by_hand import enter, pick, reach, show_section
from mouse import LEFT, paint_stroke
from napari_hae.agent.surrogate import Surrogate
from napari_hae.experiment import watch
from napari_hae.experiment.events import RunPhase
from napari_hae.experiment.settings import Budget
from napari_hae.gui import connection
from napari_hae.instruments.gate import GuardedInstrument
from napari_hae.instruments.simulated import SimulatedMicroscope
from napari_hae.instruments.simulated_settings import SimulatedSettings
from napari_hae.regions.regions import RegionKind
from steered import TIMEOUT_MS, entries, place, start, step, until

pytestmark = pytest.mark.gui
ENDLESS = 900


class UnsteadyMicroscope(SimulatedMicroscope):
    """Its spectrometer's gain grows with each spectrum until somebody mends it."""

    gain, growth = 1.0, 1.0

    def _spectrum_at(self, *arguments, lit):
        spectrum = super()._spectrum_at(*arguments, lit=lit)
        self.gain *= self.growth
        return replace(spectrum, counts=spectrum.counts * np.float32(self.gain))


@pytest.fixture
def watched(cockpit, qtbot, monkeypatch):
    """The cockpit with a small simulated field, its journal in front."""

    def guarded(_, settings):
        cockpit.bare = UnsteadyMicroscope(settings)
        return GuardedInstrument(cockpit.bare)

    monkeypatch.setattr(connection, "guarded", guarded)

    def connect(**simulated):
        wanted = SimulatedSettings(**{"shape": (32, 32), **simulated})
        with qtbot.waitSignal(cockpit.session.connection.changed, timeout=TIMEOUT_MS):
            cockpit.session.connection.open("simulated", wanted)
        cockpit.show_experiment()
        cockpit.session.configure(budget=Budget(steps=ENDLESS))
        show_journal(cockpit, qtbot)
        return cockpit

    yield connect
    cockpit.session.abort()
    until(qtbot, lambda: not cockpit.session.is_running)


def show_journal(cockpit, qtbot) -> None:
    tabs, story = cockpit.monitor.tabs, cockpit.monitor.story
    at = tabs.tabBar().tabRect(tabs.indexOf(story)).center()
    qtbot.mouseClick(tabs.tabBar(), LEFT, pos=at)
    assert story.text.isVisible()


def shown(cockpit, words: str, signs: str = "⚠") -> list[str]:
    """The warnings with these words, as the journal's panel lists them."""
    lines = cockpit.monitor.story.text.toPlainText().splitlines()
    return [line for line in lines if line.startswith(tuple(signs)) and words in line]


def until_warned(cockpit, qtbot, words: str, advice: str) -> None:
    """Wait for a warning that says what can be done; it is in the journal too."""
    # A run that goes fast may be past a warning before it is drawn.
    either = "⚠✓"
    before = len(shown(cockpit, words, either))
    until(qtbot, lambda: len(shown(cockpit, words, either)) > before)
    assert advice in shown(cockpit, words, either)[-1]
    # It pauses by itself where nothing more is open.
    if cockpit.session.state is not RunPhase.PAUSED:
        press_pause(cockpit, qtbot)
    assert any(words in each["text"] for each in entries(cockpit, "warning"))


def press_pause(cockpit, qtbot) -> None:
    """Pause the run, or let it go on."""
    session = cockpit.session
    wanted = RunPhase.PAUSED if session.state is RunPhase.RUNNING else RunPhase.RUNNING
    qtbot.mouseClick(cockpit.experiment.controls.pause, LEFT)
    until(qtbot, lambda: session.state is wanted)
    session.live.refresh()


def until_over(cockpit, qtbot, sign) -> None:
    """Go on until what was warned of is due no more."""
    session = cockpit.session
    taken = session.live.taken
    press_pause(cockpit, qtbot)
    until(
        qtbot,
        lambda: (
            session.live.taken > taken
            and not sign(session.live.measurements[-watch.RECENT :], session.settings)
        ),
    )


def tick(control, qtbot) -> None:
    """Click on the square of a tick box in a form."""
    box, before = control.native, control.value
    reach(box, qtbot)
    at = box.rect().center()
    at.setX(9)
    qtbot.mouseClick(box, LEFT, pos=at)
    until(qtbot, lambda: control.value is not before)


def test_stuck_ends_when_leaving_traps_is_switched_on(watched, qtbot):
    cockpit = watched()
    forms, session = cockpit.experiment.forms, cockpit.session
    leave_traps = forms["moves"].controls["leave_traps"]
    tick(leave_traps, qtbot)
    policy = forms["acquisition"]
    pick(policy.choice, "Upper confidence bound", qtbot)
    enter(policy.form.controls["beta"], "0", qtbot)
    start(cockpit, qtbot, steps=ENDLESS)
    until_warned(cockpit, qtbot, "found nothing better", 'Switch on "Leave traps"')
    # The run goes on until it is paused, and may have come upon something since.
    insights = [each.proposal.insight for each in session.live.measurements]
    assert any(insight.trapped for insight in insights if insight is not None)
    tick(leave_traps, qtbot)
    until_over(cockpit, qtbot, watch.stuck)
    changed = entries(cockpit, "settings")[-1]
    change = changed["changes"]["moves"]
    assert (change["old"]["leave_traps"], change["new"]["leave_traps"]) == (False, True)

    def has_left() -> bool:
        after = [m.proposal for m in session.live.measurements[changed["step"] :]]
        return any(
            each.insight.trapped and each.std >= 0.9 * each.insight.largest_std
            for each in after
        )

    until(qtbot, has_left)


def test_nothing_left_to_gain_ends_when_the_region_is_switched_off(
    watched, qtbot, monkeypatch
):
    # The region has no more places.
    monkeypatch.setattr(watch, "IN_A_ROW", 5)
    cockpit = watched()
    session, regions = cockpit.session, cockpit.experiment.regions
    # Always after as many steps: what is left to gain then is the same.
    session.configure(budget=Budget(steps=ENDLESS))
    qtbot.mouseClick(cockpit.experiment.controls.step, LEFT)
    until(qtbot, lambda: session.state is RunPhase.PAUSED)
    step(cockpit, qtbot, 25)
    mean = session.live.maps.mean
    edge = mean[4:-4, 4:-4]
    row, column = (4 + i for i in np.unravel_index(edge.argmin(), edge.shape))
    qtbot.mouseClick(regions.paint_interest, LEFT)
    ends = [place(cockpit, row, column - 3), place(cockpit, row, column + 3)]
    paint_stroke(cockpit.viewer, ends)
    until(qtbot, lambda: session.watcher.regions.restricts)
    press_pause(cockpit, qtbot)
    until_warned(cockpit, qtbot, "Nothing is left to gain", "widen the regions")
    (layer,) = [x for x, k in session.watcher.layers.items() if k is RegionKind.ROI]
    painted = layer.data > 0
    recent = session.live.measurements[-3:]
    assert all(painted[m.proposal.row, m.proposal.column] for m in recent)
    switch = regions.rows[layer].switch
    show_section(cockpit.experiment, "Regions", switch, qtbot)
    qtbot.mouseClick(switch, LEFT, pos=switch.rect().center())
    until(qtbot, lambda: not session.watcher.regions.restricts)
    # At once, while the run waits.
    until(qtbot, lambda: shown(cockpit, "Nothing is left to gain") == [])
    until_over(cockpit, qtbot, watch.nothing_to_gain)
    later = session.live.measurements[-1].proposal
    assert not painted[later.row, later.column]


def test_a_failing_fit_ends_with_another_model(watched, qtbot, monkeypatch):
    cockpit, original = watched(), Surrogate._fit_from
    session = cockpit.session

    def fit(self, *arguments):
        fails = self._settings.kernel == "matern52"
        return None if fails else original(self, *arguments)

    monkeypatch.setattr(Surrogate, "_fit_from", fit)
    start(cockpit, qtbot, steps=ENDLESS)
    until_warned(cockpit, qtbot, "could not be fitted", "choose another model")
    assert session.live.measurements[-1].proposal.insight.fit_failed
    kernel = cockpit.experiment.forms["model"].controls["kernel"].native
    show_section(cockpit.experiment, "Model", kernel, qtbot)
    pick(kernel, "rbf", qtbot)
    until_over(cockpit, qtbot, watch.fit_failing)
    assert (
        entries(cockpit, "settings")[-1]["changes"]["model"]["new"]["kernel"] == "rbf"
    )


def test_an_agent_slower_than_the_exposure_is_told_until_it_is_longer(
    watched, qtbot, monkeypatch
):
    cockpit = watched()
    exposure = cockpit.experiment.forms["measurement"].controls["exposure_s"]
    words = "longer than the exposure of 1 ms"
    # Else another warning might take the strip's place.
    monkeypatch.setattr(watch, "SIGNS", (watch.agent_slow,))
    enter(exposure, "0.001", qtbot)
    start(cockpit, qtbot, steps=ENDLESS)
    until_warned(cockpit, qtbot, words, "or expose longer")
    message = cockpit.experiment.controls.message
    until(qtbot, lambda: words in message.text())
    enter(exposure, "10", qtbot)
    until_over(cockpit, qtbot, watch.agent_slow)
    assert cockpit.session.live.measurements[-1].spectrum.exposure_s == 10
    until(qtbot, lambda: entries(cockpit, "warning_over"))
    (over,) = entries(cockpit, "warning_over")
    assert words in over["text"]
    assert over["since"] == over["step"] - watch.REST
    # The list says so, at the warning and as what happened last; the strip lets it go.
    since = f"over since step {over['since'] + 1}"
    until(qtbot, lambda: shown(cockpit, words) == [])
    said = cockpit.monitor.story.text.toPlainText().splitlines()
    told = [line for line in said if words in line and since in line]
    assert len(told) == 2 and told[0].startswith("✓")
    assert f"Step {over['step'] + 1}: {since}" in told[-1]
    until(qtbot, lambda: message.text() == "")
    # It is told again when it comes again.
    enter(exposure, "0.001", qtbot)
    until(qtbot, lambda: shown(cockpit, words) and words in message.text())


def test_a_gain_that_grows_is_told_as_bad_calibration(watched, qtbot):
    cockpit = watched()
    cockpit.bare.growth = 1.2
    start(cockpit, qtbot, steps=ENDLESS)
    until_warned(cockpit, qtbot, "the model is too sure of itself", "change the model")
    calibration = cockpit.monitor.learning.plots["Calibration"]
    tabs = cockpit.monitor.tabs
    at = tabs.tabBar().tabRect(tabs.indexOf(cockpit.monitor.learning)).center()
    qtbot.mouseClick(tabs.tabBar(), LEFT, pos=at)
    pick(cockpit.monitor.learning.choice, "Calibration", qtbot)
    until(qtbot, lambda: not calibration.is_empty)
    assert calibration.shares[1].getData()[1][-1] < 0.6
    with qtbot.waitSignal(cockpit.session.finished, timeout=TIMEOUT_MS):
        qtbot.mouseClick(cockpit.experiment.controls.stop, LEFT)
    cockpit.bare.gain = cockpit.bare.growth = 1.0
    show_journal(cockpit, qtbot)
    start(cockpit, qtbot, steps=ENDLESS)
    session = cockpit.session
    until(qtbot, lambda: session.live.taken >= 10 + watch.ENOUGH + 5)
    press_pause(cockpit, qtbot)
    assert not watch.badly_calibrated(session.live.measurements, session.settings)
    assert shown(cockpit, "too sure of itself") == []


def test_a_sample_that_drifts_away_is_told_until_a_new_image_is_taken(watched, qtbot):
    cockpit = watched(shape=(64, 64), drift_x_nm_per_s=10, drift_y_nm_per_s=-5)
    session, controls = cockpit.session, cockpit.experiment.controls
    above = cockpit.experiment.forms["drift"].controls["warn_nm"]
    show_section(cockpit.experiment, "Survey again", above.native, qtbot)
    enter(above, "3", qtbot)
    qtbot.mouseClick(controls.step, LEFT)
    until(qtbot, lambda: session.state is RunPhase.PAUSED)
    step(cockpit, qtbot, 5)
    words = "The sample has drifted by"
    assert shown(cockpit, words) == []
    qtbot.mouseClick(controls.survey_again, LEFT)
    until(qtbot, lambda: len(shown(cockpit, words)) == 1)
    assert "let the stage settle" in shown(cockpit, words)[0]
    assert any(words in each["text"] for each in entries(cockpit, "warning"))
    (taken,) = entries(cockpit, "survey_again")
    assert np.hypot(*taken["offset_nm"]) > 3
    enter(above, "40", qtbot)
    qtbot.mouseClick(controls.survey_again, LEFT)
    until(qtbot, lambda: shown(cockpit, words, signs="✓"))
    assert shown(cockpit, words) == []
    (over,) = entries(cockpit, "warning_over")
    assert over["text"] == entries(cockpit, "warning")[-1]["text"]
    with qtbot.waitSignal(session.finished, timeout=TIMEOUT_MS):
        qtbot.mouseClick(controls.stop, LEFT)
    assert "drifted by" in session.has_moved
    with qtbot.waitSignal(session.survey_changed, timeout=TIMEOUT_MS):
        qtbot.mouseClick(cockpit.microscope.survey_button, LEFT)
    assert session.has_moved == ""
    start(cockpit, qtbot, steps=12)
    until(qtbot, lambda: session.live.taken >= 5)
    assert shown(cockpit, words) == []
