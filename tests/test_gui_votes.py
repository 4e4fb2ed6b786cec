"""A person judges spectra in a real window, with the mouse."""

from __future__ import annotations

import numpy as np
import pytest

from by_hand import enter, say_why, select_by_click, show_section
from mouse import LEFT
from napari_hae.agent.voted import SimilarityToVotes
from napari_hae.experiment.votes import Vote, target_spectrum
from napari_hae.gui.layers import Role
from steered import entries, show, step, until

pytestmark = pytest.mark.gui


def select(cockpit, qtbot, taken_at: int) -> None:
    """Click on a measured place, and wait for its spectrum."""
    select_by_click(cockpit, qtbot, taken_at)
    counts = cockpit.session.live.measurements[taken_at].spectrum.counts
    plot = cockpit.monitor.spectra.plot.plot

    def is_drawn() -> bool:
        curves = [item.getData()[1] for item in plot.getPlotItem().listDataItems()]
        return any(np.array_equal(counts, y) for y in curves)

    until(qtbot, is_drawn)


def vote(cockpit, qtbot, of: int, what: Vote) -> None:
    select(cockpit, qtbot, of)
    qtbot.mouseClick(cockpit.monitor.spectra.judging.votes[what], LEFT)
    until(qtbot, lambda: cockpit.session.runner.votes.get(of) is what)


def targets(cockpit) -> list[float]:
    return [m.target for m in cockpit.session.live.measurements]


def shown_targets(cockpit) -> list[float]:
    """Those of the table of the points in the image."""
    return list(cockpit.session.layers.measured_layer.features["target"])


def mean_map(cockpit) -> np.ndarray:
    return np.array(cockpit.session.layers.map_layer(Role.MEAN).data)


def looks_for_votes(cockpit, qtbot) -> tuple[float, ...]:
    """Until the goal is what the votes say; the spectrum that is looked for."""
    session = cockpit.session
    wanted = target_spectrum(session.runner.votes, session.live.measurements)
    until(qtbot, lambda: session.settings.scalarizer.target_counts == wanted)
    alike = [session.settings.scalarizer(m.spectrum) for m in session.live.measurements]
    until(qtbot, lambda: np.allclose(shown_targets(cockpit), alike))
    return wanted


def test_votes_make_the_goal_and_a_changed_vote_makes_another(paused, qtbot):
    session, judging = paused.session, paused.monitor.spectra.judging
    assert not judging.follow.isEnabled()
    say_why(paused, "the edge", qtbot)
    vote(paused, qtbot, 3, Vote.GOOD)
    vote(paused, qtbot, 8, Vote.BAD)
    until(qtbot, judging.follow.isEnabled)
    qtbot.mouseClick(judging.follow, LEFT)
    until(qtbot, lambda: isinstance(session.settings.scalarizer, SimilarityToVotes))
    first = looks_for_votes(paused, qtbot)
    assert np.argmax(shown_targets(paused)) == 3
    best = max(targets(paused))
    step(paused, qtbot)
    assert session.live.measurements[12].proposal.best == pytest.approx(best)
    area = mean_map(paused)
    vote(paused, qtbot, 8, Vote.NEUTRAL)
    assert looks_for_votes(paused, qtbot) != first
    assert judging.votes[Vote.NEUTRAL].isChecked()
    best = max(targets(paused))
    step(paused, qtbot)
    assert session.live.measurements[13].proposal.best == pytest.approx(best)
    until(qtbot, lambda: not np.array_equal(mean_map(paused), area))
    noted = entries(paused, "vote")
    assert [(x["of"], x.get("old"), x["vote"]) for x in noted] == [
        (3, None, "good"),
        (8, None, "bad"),
        (8, "bad", "neutral"),
    ]
    assert [(x["step"], x["who"]) for x in noted] == [(12, "human")] * 2 + [
        (13, "human")
    ]
    assert [x["why"] for x in noted] == ["the edge", "", ""]
    story = show(paused, "Journal").text
    told = "you called the spectrum of step 9 neutral, bad before"
    until(qtbot, lambda: told in story.toPlainText())


def test_the_weight_of_similarity_beside_the_goal_is_typed(paused, qtbot):
    session, form = paused.session, paused.experiment.forms["scalarizer"]
    old, usual = session.settings.scalarizer, np.array(targets(paused))
    follow = paused.monitor.spectra.judging.follow
    vote(paused, qtbot, 3, Vote.GOOD)
    until(qtbot, follow.isEnabled)
    qtbot.mouseClick(follow, LEFT)
    until(qtbot, lambda: form.kind == SimilarityToVotes().kind)
    looks_for_votes(paused, qtbot)
    similar = np.array(shown_targets(paused))
    weight = form.form.controls["weight"]
    show_section(paused.experiment, "Goal", weight.native, qtbot)
    enter(weight, "0.25", qtbot)
    standard = (usual - usual.mean()) / usual.std()
    joined = 0.25 * similar + 0.75 * standard
    until(qtbot, lambda: np.allclose(shown_targets(paused), joined, rtol=1e-6))
    change = entries(paused, "settings")[-1]["changes"]["scalarizer"]
    assert (change["old"]["weight"], change["new"]["weight"]) == (1.0, 0.25)
    assert change["new"]["base"]["kind"] == old.kind
    step(paused, qtbot)
    proposal = session.live.measurements[-1].proposal
    # The agent predicts what it now looks for.
    assert proposal.best == pytest.approx(joined.max())


def test_a_discarded_measurement_is_left_out_until_it_is_restored(paused, qtbot):
    session, discard = paused.session, paused.monitor.spectra.judging.discard
    layer = session.layers.measured_layer
    best = int(np.argmax(targets(paused)))
    target = targets(paused)[best]
    select(paused, qtbot, best)
    say_why(paused, "the beam jumped", qtbot)
    qtbot.mouseClick(discard, LEFT)
    until(qtbot, lambda: np.isnan(shown_targets(paused)[best]))
    until(qtbot, lambda: discard.text() == "Restore")
    until(qtbot, lambda: str(layer.symbol[best]) == "x")
    step(paused, qtbot)
    without = session.live.measurements[-1].proposal
    assert without.best < target
    qtbot.mouseClick(discard, LEFT)
    until(qtbot, lambda: shown_targets(paused)[best] == pytest.approx(target))
    until(qtbot, lambda: str(layer.symbol[best]) != "x")
    step(paused, qtbot)
    assert session.live.measurements[-1].proposal.best == max(targets(paused)[:-1])
    noted = entries(paused, "discard")
    assert [(x["of"], x["is_discarded"]) for x in noted] == [
        (best, True),
        (best, False),
    ]
    assert [(x["step"], x["who"]) for x in noted] == [(12, "human"), (13, "human")]
    assert [x["why"] for x in noted] == ["the beam jumped", ""]
