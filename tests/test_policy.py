import logging
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import blobs
from napari_hae.agent.acquisition import (
    AcquisitionFunction,
    LogExpectedImprovement,
    MaximumUncertainty,
    RandomChoice,
    Raster,
    ThompsonSampling,
)
from napari_hae.agent.goal import Goal
from napari_hae.agent.initial import design_point
from napari_hae.agent.model_settings import ModelSettings
from napari_hae.agent.policy import Exhausted, Policy
from napari_hae.agent.policy_settings import InitialDesign
from napari_hae.coordinates import FieldFrame
from napari_hae.types import ChosenBy

TRUTH = blobs.truth()


def policy(acquisition=None, *, image=None, points=5, kind="latin_hypercube", seed=0):
    return Policy(
        image or blobs.image(),
        model=ModelSettings(network="none"),
        acquisition=acquisition or LogExpectedImprovement(),
        goal=Goal(),
        initial=InitialDesign(kind=kind, points=points),
        seed=seed,
    )


def run(agent, steps, *, allowed=blobs.ANYWHERE, target=TRUTH, first=0):
    """Measure where the agent asks; the proposals in order."""
    path = []
    for step in range(first, first + steps):
        proposal = agent.ask(step, allowed)
        agent.tell(
            proposal.row, proposal.column, float(target[proposal.row, proposal.column])
        )
        path.append(proposal)
    return path


def pixels(path):
    return [(proposal.row, proposal.column) for proposal in path]


def test_the_initial_design_comes_first_and_then_the_agent():
    path = run(policy(points=4), 6)
    assert [p.chosen_by for p in path] == [ChosenBy.INITIAL] * 4 + [ChosenBy.AGENT] * 2
    assert np.isnan([p.mean for p in path[:4]]).all()
    assert np.isfinite([(p.mean, p.std, p.value) for p in path[4:]]).all()
    assert [p.known for p in path] == list(range(6))


def test_a_proposal_names_the_position_of_its_pixel():
    proposal = policy().ask(0, blobs.ANYWHERE)
    frame = FieldFrame.of(blobs.image())
    assert frame.pixel(proposal.position) == (proposal.row, proposal.column)


def test_the_agent_finds_better_places_than_chance():
    def best_of(acquisition, seed):
        agent = policy(acquisition, seed=seed)
        run(agent, 20)
        return agent.best

    top = np.quantile(TRUTH, 0.99)
    seeds = range(10)
    found = [best_of(LogExpectedImprovement(), seed) > top for seed in seeds]
    by_chance = [best_of(RandomChoice(), seed) > top for seed in seeds]
    assert sum(found) >= 8
    assert sum(by_chance) <= 5


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_pixel_of_the_image_that_is_no_number_spoils_no_prediction(wrong):
    data = blobs.image().data[0].copy()
    data[0, 3] = wrong
    path = run(policy(image=blobs.image(data)), 20)
    assert np.isfinite([(p.mean, p.std, p.value) for p in path[5:]]).all()
    assert path[-1].best > np.quantile(TRUTH, 0.98)


def test_a_mask_that_lies_column_by_column_is_understood_too():
    expected = pixels(run(policy(), 12))
    assert pixels(run(policy(), 12, allowed=np.asfortranarray(blobs.ANYWHERE))) == (
        expected
    )
    few = np.zeros((blobs.SIDE, blobs.SIDE), dtype=bool, order="F")
    few[5, 3:6] = few[9, 7] = True
    assert len(set(pixels(run(policy(), 4, allowed=few)))) == 4


def test_the_same_seed_gives_the_same_path_and_another_seed_another():
    path = run(policy(ThompsonSampling(), seed=1), 9)
    assert run(policy(ThompsonSampling(), seed=1), 9) == path or pixels(
        run(policy(ThompsonSampling(), seed=1), 9)
    ) == pixels(path)
    assert pixels(run(policy(ThompsonSampling(), seed=2), 9)) != pixels(path)


def test_shift_and_scale_of_the_targets_change_no_choice():
    moved = run(policy(), 9, target=1e3 * TRUTH - 5e2)
    assert pixels(moved) == pixels(run(policy(), 9))


def test_minimising_the_negative_target_is_maximising_the_target():
    agent = policy()
    agent.configure(goal=Goal(direction="minimise"))
    assert pixels(run(agent, 8, target=-TRUTH)) == pixels(run(policy(), 8))


def test_telling_again_what_was_told_leads_to_the_same_model():
    first = policy()
    path = run(first, 9)
    second = policy()
    for proposal in path:
        if proposal.chosen_by is ChosenBy.AGENT:
            second.refresh()
        target = float(TRUTH[proposal.row, proposal.column])
        second.tell(proposal.row, proposal.column, target)
    one, other = first.ask(9, blobs.ANYWHERE), second.ask(9, blobs.ANYWHERE)
    assert one == other
    maps = first.maps(blobs.ANYWHERE), second.maps(blobs.ANYWHERE)
    np.testing.assert_array_equal(maps[0].mean, maps[1].mean)
    np.testing.assert_array_equal(maps[0].std, maps[1].std)


@settings(max_examples=60, deadline=None)
@given(
    mask=st.lists(st.booleans(), min_size=30, max_size=30),
    kind=st.sampled_from(["latin_hypercube", "random", "grid"]),
    acquisition=st.sampled_from([RandomChoice(), Raster(), MaximumUncertainty()]),
    fates=st.lists(
        st.sampled_from(["measured", "without a target", "withdrawn", "pending"]),
        min_size=35,
        max_size=35,
    ),
    seed=st.integers(0, 1000),
)
def test_proposals_are_always_allowed_and_never_taken(
    mask, kind, acquisition, fates, seed
):
    allowed = np.array(mask).reshape(5, 6)
    image = blobs.image(np.arange(30.0).reshape(5, 6))
    # Thirty initial points: the model-based function never reaches its model here.
    agent = policy(acquisition, image=image, points=30, kind=kind, seed=seed)
    taken = set()
    for step, fate in enumerate(fates):
        if taken >= set(zip(*np.nonzero(allowed), strict=True)):
            with pytest.raises(Exhausted):
                agent.ask(step, allowed)
            return
        if acquisition.needs_model and step >= 30:
            return
        proposal = agent.ask(step, allowed)
        pixel = proposal.row, proposal.column
        assert allowed[pixel]
        assert pixel not in taken
        if fate == "withdrawn":
            agent.withdraw(*pixel)
            continue
        taken.add(pixel)
        if fate != "pending":
            agent.tell(*pixel, float("nan") if fate == "without a target" else 1.0)


def test_the_agents_own_choices_stay_inside_a_region_painted_in_mid_run():
    agent = policy()
    run(agent, 7)
    region = np.zeros_like(blobs.ANYWHERE)
    region[3:6, 2:9] = True
    path = run(agent, 5, allowed=region, first=7)
    assert all(region[pixel] for pixel in pixels(path))


def test_nothing_left_to_measure_is_said():
    agent = policy(Raster())
    region = np.zeros_like(blobs.ANYWHERE)
    region[0, :3] = True
    assert pixels(run(agent, 3, allowed=region)) == [(0, 0), (0, 1), (0, 2)]
    with pytest.raises(Exhausted):
        agent.ask(3, region)


def test_a_pending_pixel_is_not_proposed_again_until_it_is_withdrawn():
    agent = policy(Raster())
    assert pixels([agent.ask(0, blobs.ANYWHERE)]) == [(0, 0)]
    assert pixels([agent.ask(1, blobs.ANYWHERE)]) == [(0, 1)]
    agent.withdraw(0, 0)
    assert pixels([agent.ask(1, blobs.ANYWHERE)]) == [(0, 0)]


def test_the_model_counts_on_a_pending_proposal():
    agent = policy(MaximumUncertainty())
    run(agent, 6)
    first = agent.ask(6, blobs.ANYWHERE)
    before = agent.maps(blobs.ANYWHERE)
    agent.ask(7, blobs.ANYWHERE)
    after = agent.maps(blobs.ANYWHERE)
    pixel = first.row, first.column
    assert after.std[pixel] < 0.9 * before.std[pixel]
    np.testing.assert_allclose(after.mean, before.mean, rtol=1e-5, atol=1e-6)


def test_a_target_that_is_no_number_is_measured_but_not_learned():
    agent, other = policy(), policy()
    run(agent, 6), run(other, 6)
    agent.tell(0, 0, float("nan"))
    assert agent.known == 7
    assert agent.best == other.best
    agent.ask(7, blobs.ANYWHERE), other.ask(7, blobs.ANYWHERE)
    maps, expected = agent.maps(blobs.ANYWHERE), other.maps(blobs.ANYWHERE)
    np.testing.assert_array_equal(maps.mean, expected.mean)
    assert np.isnan(maps.acquisition[0, 0])


def test_the_incumbent_is_never_a_place_without_a_target():
    seen = []

    class Watching(AcquisitionFunction):
        title = "Watching"
        kind: str = "watching"

        def __call__(self, posterior, best, rng):
            seen.append((posterior.mean, best))
            return posterior.std

    agent = policy(Watching())
    path = run(agent, 5)
    agent.ask(5, blobs.ANYWHERE)
    peak = int(seen[-1][0].argmax())
    agent.tell(*divmod(peak, blobs.SIDE), float("nan"))
    agent.ask(6, blobs.ANYWHERE)
    mean, best = seen[-1]
    measured = [row * blobs.SIDE + column for row, column in pixels(path)]
    assert best == mean[measured].max()


def test_until_two_targets_are_numbers_the_initial_design_goes_on():
    agent = policy(points=2)
    path = run(agent, 4, target=np.full_like(TRUTH, np.nan))
    path += run(agent, 3, first=4)
    assert [p.chosen_by for p in path[:6]] == [ChosenBy.INITIAL] * 6
    assert path[6].chosen_by is ChosenBy.AGENT


@pytest.mark.parametrize("level", [0.0, 3.0])
def test_equal_targets_do_not_stop_the_agent(level):
    path = run(policy(points=2), 5, target=np.full_like(TRUTH, level))
    assert len(set(pixels(path))) == 5


def test_a_survey_image_without_contrast_does_not_stop_the_agent():
    path = run(policy(image=blobs.image(np.ones_like(TRUTH)), points=2), 5)
    assert len(set(pixels(path))) == 5


def test_new_targets_for_all_measurements_lead_where_they_would_have_led():
    agent, other = policy(), policy()
    path = run(agent, 5)
    for pixel in pixels(path):
        other.tell(*pixel, float(-TRUTH[pixel]))
    targets = [float(-TRUTH[pixel]) for pixel in pixels(path)]
    agent.retarget(targets, [np.nan] * len(targets))
    assert agent.best == other.best
    assert agent.ask(5, blobs.ANYWHERE) == other.ask(5, blobs.ANYWHERE)


def test_targets_for_another_number_of_measurements_are_refused():
    agent = policy()
    run(agent, 2)
    words = "1 targets and 1 errors for 2 measurements"
    with pytest.raises(ValueError, match=words):
        agent.retarget([1.0], [0.1])


def test_another_model_is_fitted_to_the_same_measurements():
    agent = policy()
    run(agent, 7)
    agent.configure(model=ModelSettings(network="none", kernel="rbf", patch_px=5))
    assert agent.known == 7
    proposal = agent.ask(7, blobs.ANYWHERE)
    assert proposal.chosen_by is ChosenBy.AGENT
    assert proposal.known == 7


def test_another_acquisition_function_is_used_from_the_next_step_on():
    agent = policy()
    run(agent, 6)
    agent.configure(acquisition=Raster())
    proposal = agent.ask(6, blobs.ANYWHERE)
    assert (proposal.row, proposal.column) == (0, 0)
    assert np.isnan(proposal.mean)
    assert agent.maps(blobs.ANYWHERE) is None


def test_nothing_new_means_no_new_fit(monkeypatch):
    fits = []
    agent = policy()
    run(agent, 6)
    agent.refresh()
    monkeypatch.setattr(
        "napari_hae.agent.surrogate.Surrogate.fit", lambda *data: fits.append(data)
    )
    agent.ask(6, blobs.ANYWHERE)
    agent.refresh()
    agent.tell(0, 0, float("nan"))
    agent.ask(7, blobs.ANYWHERE)
    assert not fits


def test_the_maps_show_what_the_choice_was_made_on():
    agent = policy(ThompsonSampling())
    assert agent.maps(blobs.ANYWHERE) is None
    run(agent, 6)
    region = blobs.ANYWHERE.copy()
    region[:4] = False
    proposal = agent.ask(6, region)
    maps = agent.maps(region)
    pixel = proposal.row, proposal.column
    assert maps.known == 6
    assert maps.mean[pixel] == pytest.approx(proposal.mean)
    assert maps.std[pixel] == pytest.approx(proposal.std)
    assert np.isnan(maps.acquisition[~region]).all()
    assert np.nanmax(maps.acquisition) <= np.float32(proposal.value)


def test_without_any_value_the_choice_is_by_chance_and_logged(caplog):
    class Useless(AcquisitionFunction):
        title = "Useless"
        needs_model = False
        kind: str = "useless"

        def __call__(self, posterior, best, rng):
            return np.full_like(posterior.mean, np.nan)

    with caplog.at_level(logging.WARNING):
        path = run(policy(Useless()), 4)
    assert len(set(pixels(path))) == 4
    assert "at random" in caplog.text


def test_among_equals_the_choice_is_by_chance_and_repeatable():
    class Indifferent(AcquisitionFunction):
        title = "Indifferent"
        needs_model = False
        kind: str = "indifferent"

        def __call__(self, posterior, best, rng):
            return np.zeros_like(posterior.mean)

    path = pixels(run(policy(Indifferent()), 6))
    assert path != pixels(run(policy(Indifferent(), seed=1), 6))
    assert path == pixels(run(policy(Indifferent()), 6))


def test_a_mask_or_a_pixel_of_another_field_is_refused():
    agent = policy()
    with pytest.raises(ValueError, match=r"\(3, 3\).*\(24, 24\)"):
        agent.ask(0, np.ones((3, 3), dtype=bool))
    with pytest.raises(ValueError, match="not in the survey image"):
        agent.tell(0, blobs.SIDE, 1.0)


@pytest.mark.parametrize("kind", ["latin_hypercube", "random", "grid"])
def test_the_initial_design_fills_the_allowed_region(kind):
    region = np.zeros((40, 60), dtype=bool)
    region[10:30, 20:50] = True
    design = InitialDesign(kind=kind, points=12)
    path = np.array([design_point(design, step, region, 3) for step in range(12)])
    assert all(region[row, column] for row, column in path)
    if kind != "random":
        assert np.ptp(path, axis=0).min() > 10


def test_a_latin_hypercube_has_one_point_in_every_row_and_column():
    design, field = InitialDesign(points=10), np.ones((10, 10), dtype=bool)
    path = [design_point(design, step, field, 0) for step in range(10)]
    assert sorted(row for row, _ in path) == list(range(10))
    assert sorted(column for _, column in path) == list(range(10))


def test_importing_the_policy_and_choosing_at_random_load_no_torch():
    code = """
import sys, numpy as np
import blobs
from test_policy import policy, run
from napari_hae.agent.acquisition import RandomChoice
run(policy(RandomChoice()), 6)
sys.exit("torch" in sys.modules)
"""
    folder = __file__.rpartition("test_policy")[0]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=folder, timeout=120)
