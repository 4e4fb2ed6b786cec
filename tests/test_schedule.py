"""An exploration parameter that changes over the steps of a run."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pytest
from pydantic import Field, ValidationError

from lab import Lab, experiment, path_of, run
from napari_hae.agent.acquisition import (
    AcquisitionFunction,
    LogExpectedImprovement,
    RandomChoice,
    Schedule,
    UpperConfidenceBound,
)
from napari_hae.experiment.forensics.counterfactual import counterfactual
from napari_hae.experiment.forensics.timeline import timeline_of
from napari_hae.experiment.journal_events import Actor, SettingsEvent
from napari_hae.experiment.sentences import sentence
from napari_hae.experiment.settings import LoopSettings
from napari_hae.experiment.stored import open_run


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(tmp_path)


def falling(**more) -> UpperConfidenceBound:
    values = {"beta": 8.0, "schedule": "linear", "until": 0.0, "over": 8, **more}
    return UpperConfidenceBound(**values)


def test_a_linear_schedule_goes_by_equal_amounts_and_stays_at_its_end():
    function = falling(over=4, since=3)
    in_force = [function.at(step).beta for step in (0, 3, 4, 5, 6, 7, 50)]
    assert in_force == [8.0, 8.0, 6.0, 4.0, 2.0, 0.0, 0.0]


def test_a_geometric_schedule_goes_by_equal_factors():
    function = LogExpectedImprovement(xi=4, schedule="geometric", until=0.25, over=4)
    in_force = [function.at(step).xi for step in range(6)]
    assert in_force == pytest.approx([4, 2, 1, 0.5, 0.25, 0.25])


def test_without_a_schedule_nothing_changes():
    for function in (UpperConfidenceBound(beta=3), RandomChoice()):
        assert function.at(0) is function.at(90) is function
        assert function.begun(falling(since=7), 20) == function


def test_a_schedule_begins_where_it_is_set_and_goes_on_where_it_is_not_changed():
    begun = falling().begun(UpperConfidenceBound(), 12)
    assert begun.since == 12
    # A window that does not know yet since when it runs.
    assert falling().begun(begun, 15) == begun
    assert falling(until=1.0).begun(begun, 15).since == 15


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"beta": 0.0, "schedule": "geometric"}, "needs values above 0"),
        ({"schedule": "geometric", "until": 0.0}, "needs values above 0"),
        ({"until": 200.0}, "Exploration β cannot become 200"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_in_words(values, words):
    with pytest.raises(ValidationError, match=words):
        falling(**values)


class Doubting(Schedule, AcquisitionFunction):
    title: ClassVar[str] = "Doubting"
    exploration: ClassVar[str] = "doubt"
    kind: Literal["doubting"] = "doubting"
    doubt: float = 1.0

    def __call__(self, posterior, best, rng):
        return posterior.mean - self.doubt * posterior.std


def test_a_function_of_somebody_else_follows_a_schedule_by_naming_its_parameter(lab):
    function = Doubting(doubt=-4.0, schedule="linear", until=0.0, over=8)
    runner = run(lab.runner(experiment(acquisition=function)))
    insights = [m.proposal.insight for m in runner.measurements[4:]]
    found = [insight.parameter for insight in insights if insight is not None]
    assert found[:5] == [-2.0, -1.5, -1.0, -0.5, 0.0]


class Careful(Doubting):
    title: ClassVar[str] = "Careful"
    kind: Literal["careful"] = "careful"
    doubt: float = Field(default=1.0, le=5)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"schedule": "geometric", "until": 0.0}, "above 0; doubt goes from 1 to 0"),
        ({"schedule": "linear", "until": 9.0}, "doubt cannot become 9"),
    ],
)
def test_a_parameter_without_a_title_is_called_by_its_name(values, words):
    with pytest.raises(ValidationError, match=words):
        Careful(**values)


@pytest.mark.parametrize("lookahead", [0, 1])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_schedule_set_in_mid_run_is_journalled_resumed_and_retraced(
    lab, lookahead, batch
):
    loop = LoopSettings(lookahead=lookahead, batch=batch)
    start = UpperConfidenceBound(beta=0.5)
    runner = lab.runner(experiment(acquisition=start, loop=loop))

    def change(measurement):
        if measurement.step == 5:
            new = falling(until=0.5, over=6)
            runner.configure(acquisition=new, why="too greedy")

    runner.events.measured.connect(change)
    run(runner)
    whole = path_of(runner.measurements)
    past = open_run(runner.record.path)
    since = past.settings.acquisition.since
    assert since in (6, 7, 8)
    changes = [x for x in past.journal if isinstance(x, SettingsEvent)]
    (told,) = [sentence(x) for x in changes if x.who is Actor.PERSON]
    assert told == (
        f'Step {since + 1}: you let "Exploration β" go from 8 to 0.5 over 6 steps from '
        f'step {since + 1} on, by a linear schedule; changed "Exploration β" from 0.5 '
        "to 8, because: too greedy."
    )
    for each in past.measurements[since:]:
        insight = each.proposal.insight
        if insight is not None and not insight.trapped:
            share = min((each.step - since) / 6, 1)
            assert insight.parameter == pytest.approx(8 - 7.5 * share)
    again = counterfactual(past, timeline_of(past), {}, None, name="the same")
    assert list(again.path) == whole
    journal = runner.record.path / "journal.jsonl"
    text = journal.read_text().splitlines()
    measured = [i for i, line in enumerate(text) if '"event": "measurement"' in line]
    journal.write_text("\n".join(text[: measured[9] + 1]) + "\n")
    resumed = run(lab.resumed(runner, 12))
    assert path_of(resumed.measurements) == whole


def test_a_schedule_changes_the_path(lab):
    constant = run(lab.runner(experiment(acquisition=UpperConfidenceBound(beta=8))))
    scheduled = run(lab.runner(experiment(acquisition=falling(over=6))))
    assert path_of(constant.measurements) != path_of(scheduled.measurements)
    again = run(lab.runner(experiment(acquisition=falling(over=6))))
    assert path_of(again.measurements) == path_of(scheduled.measurements)
    stds = [m.proposal.std for m in scheduled.measurements[6:]]
    assert np.isfinite(stds).all()
