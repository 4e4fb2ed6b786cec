"""A person tunes goal and policy of a run in a real window, by mouse and keys."""

from __future__ import annotations

import numpy as np
import pytest

from by_hand import enter, pick, say_why, show_section
from napari_hae.gui.layers import Role
from steered import entries, proposals, step, until
from tuning import (
    MAPS,
    TUNED_AT,
    change_of,
    old_and_new,
    redraws,
    seeded_path,
    shown,
    targets,
)

pytestmark = pytest.mark.gui
STEPS = 18


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """Where the run of the same seed goes when nobody changes anything."""
    return seeded_path(tmp_path_factory.mktemp("untouched") / "run", STEPS)


def goes_on(cockpit, qtbot, steps=STEPS - TUNED_AT):
    """Where the run goes from here on."""
    step(cockpit, qtbot, steps)
    return proposals(cockpit, TUNED_AT)


def told(cockpit, text, qtbot):
    """Wait until the journal's panel has a sentence."""
    monitor = cockpit.monitor
    monitor.tabs.setCurrentWidget(monitor.story)
    until(qtbot, lambda: text in monitor.story.text.toPlainText())


def in_band(measured, low_ev, high_ev):
    """Counts of a band, by energy."""
    energies_ev = measured.spectrum.energy.energies_ev
    inside = (energies_ev >= low_ev - 1e-9) & (energies_ev <= high_ev + 1e-9)
    return energies_ev[inside], measured.spectrum.counts[inside].astype(float)


def test_a_run_that_nobody_tunes_goes_where_its_seed_leads(paused, untouched, qtbot):
    assert goes_on(paused, qtbot) == untouched[TUNED_AT:]
    assert proposals(paused, 0) == untouched


def test_another_scalarizer_and_its_band_make_other_targets_maps_and_places(
    paused, untouched, qtbot
):
    session, form = paused.session, paused.experiment.forms["scalarizer"]
    show_section(paused.experiment, "Goal", form.choice, qtbot)
    picture = paused.viewer.screenshot(flash=False)
    say_why(paused, "thickness varies", qtbot)
    with redraws(paused, qtbot, *MAPS):
        pick(form.choice, "Band ratio", qtbot)
    # It looks at the band that was in force, and says so.
    assert session.settings.scalarizer.band_ev == (0.3, 0.4)
    controls = form.form.controls
    assert (controls["low_ev"].value, controls["high_ev"].value) == ("0.3", "0.4")
    until(qtbot, lambda: (paused.viewer.screenshot(flash=False) != picture).any())
    measured = session.live.measurements
    ratios = [
        in_band(m, 0.3, 0.4)[1].sum() / in_band(m, 0.65, 0.75)[1].sum()
        for m in measured
    ]
    assert targets(paused) == pytest.approx(ratios, rel=0.05)
    entry = change_of(paused, "scalarizer")
    assert (entry["step"], entry["why"]) == (TUNED_AT, "thickness varies")
    assert old_and_new(paused, "scalarizer", "kind", "low_ev") == (
        ("band_integral", 0.3),
        ("band_ratio", 0.3),
    )
    before = targets(paused)
    enter(controls["low_ev"], "0.5", qtbot)
    assert "its lower end must be below its upper end" in form.form.problems[""]
    assert session.settings.scalarizer.band_ev == (0.3, 0.4)
    with redraws(paused, qtbot, *MAPS):
        enter(controls["high_ev"], "0.6", qtbot)
    assert form.form.problems == {}
    now = [session.settings.scalarizer(m.spectrum) for m in measured]
    assert targets(paused) == pytest.approx(now)
    assert targets(paused) != pytest.approx(before)
    assert old_and_new(paused, "scalarizer", "low_ev", "high_ev") == (
        (0.3, 0.4),
        (0.5, 0.6),
    )
    assert len(entries(paused, "targets")) >= 2
    assert goes_on(paused, qtbot) != untouched[TUNED_AT:]
    told(paused, "you changed the scalarizer from Band integral to Band ratio", qtbot)
    told(paused, "you moved the band from 0.30–0.40 to 0.50–0.60 eV", qtbot)


def test_the_search_turns_round_and_goes_for_a_value(paused, untouched, qtbot):
    session, form = paused.session, paused.experiment.forms["goal"]
    show_section(paused.experiment, "Goal", form, qtbot)
    learning = paused.monitor.learning
    paused.monitor.tabs.setCurrentWidget(learning)
    best = learning.curve
    controls = form.controls
    assert not controls["value"].native.isVisible()
    say_why(paused, "holes first", qtbot)
    with redraws(paused, qtbot, Role.ACQUISITION):
        pick(controls["direction"], "minimise", qtbot)
    assert change_of(paused, "goal")["why"] == "holes first"
    until(qtbot, lambda: best_drawn(best) == min(targets(paused)))
    pick(controls["direction"], "reach", qtbot)
    assert "needs a value to reach" in form.problems[""]
    assert session.settings.goal.direction == "minimise"
    value = float(np.median(targets(paused)))
    with redraws(paused, qtbot, Role.ACQUISITION):
        enter(controls["value"], repr(value), qtbot)
    nearest = min(targets(paused), key=lambda target: abs(target - value))
    until(qtbot, lambda: best_drawn(best) == nearest)
    assert old_and_new(paused, "goal", "direction", "value") == (
        ("minimise", None),
        ("reach", value),
    )
    assert change_of(paused, "goal")["step"] == TUNED_AT
    there = goes_on(paused, qtbot)
    assert there != untouched[TUNED_AT:]
    # It looks where the value is expected, and not for anything larger.
    chosen = [m.proposal for m in session.live.measurements[TUNED_AT:]]
    largest = max(targets(paused)[:TUNED_AT])
    assert np.median([abs(p.mean - value) for p in chosen]) < abs(largest - value) / 2


def best_drawn(plot):
    """The last value of the curve of the best target."""
    plot.plot.grab()
    values = plot._best.getData()[1]
    return None if values is None or not len(values) else values[-1]


def test_another_acquisition_function_and_its_exploration_hold_at_once(
    paused, untouched, qtbot
):
    session, form = paused.session, paused.experiment.forms["acquisition"]
    show_section(paused.experiment, "Policy", form.choice, qtbot)
    say_why(paused, "look wider", qtbot)
    with redraws(paused, qtbot, Role.ACQUISITION):
        pick(form.choice, "Upper confidence bound", qtbot)
    assert change_of(paused, "acquisition")["why"] == "look wider"
    assert old_and_new(paused, "acquisition", "kind") == (("log_ei",), ("ucb",))
    until(qtbot, lambda: is_bound_drawn(paused, 2))
    with redraws(paused, qtbot, Role.ACQUISITION):
        enter(form.form.controls["beta"], "30", qtbot)
    until(qtbot, lambda: is_bound_drawn(paused, 30))
    assert old_and_new(paused, "acquisition", "beta") == ((2.0,), (30.0,))
    entry = change_of(paused, "acquisition")
    assert (entry["step"], entry["who"], entry["why"]) == (TUNED_AT, "human", "")
    assert goes_on(paused, qtbot, 3) != untouched[TUNED_AT : TUNED_AT + 3]
    # At 30 standard deviations it goes where least is known.
    spread = shown(paused, Role.STD)
    last = session.live.measurements[-1].proposal
    assert last.std > np.quantile(spread, 0.9)


def is_bound_drawn(cockpit, beta):
    """Whether the acquisition function's map is mean plus β standard deviations.

    The maps are drawn one after the other.
    """
    mean, std, drawn = (shown(cockpit, role) for role in MAPS)
    is_open = np.isfinite(drawn)
    assert is_open.sum() > is_open.size / 2
    return np.allclose(
        drawn[is_open], (mean + beta * std)[is_open], rtol=1e-4, atol=1e-3 * std.max()
    )
