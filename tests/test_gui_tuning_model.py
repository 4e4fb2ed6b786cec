"""A person tunes model, exposure and survey of a run in a real window, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from by_hand import choose, enter, pick, say_why, show_section, tick
from mouse import LEFT
from napari_hae.agent.model_settings import ModelSettings
from napari_hae.experiment.events import RunPhase
from napari_hae.gui.layers import Role, find_layer
from napari_hae.instruments.simulated_settings import SimulatedSettings
from steered import TIMEOUT_MS, entries, proposals, step, until
from tuning import TUNED_AT, change_of, old_and_new, redraws, seeded_path, targets

pytestmark = pytest.mark.gui
STEPS = 16


@pytest.fixture
def goes_without(tmp_path):
    """Where the run of the same seed goes with other changes, or without any."""

    def path(**changes):
        return seeded_path(tmp_path / "without", STEPS, **changes)[TUNED_AT:]

    return path


def goes_on(cockpit, qtbot):
    """Where the run goes from here on."""
    step(cockpit, qtbot, STEPS - TUNED_AT)
    return proposals(cockpit, TUNED_AT)


def cloud(cockpit):
    """All candidates as they are drawn in the feature space."""
    return np.array(cockpit.monitor.feature_space.plot.cloud.points)


def test_another_kernel_is_fitted_to_the_same_data(paused, goes_without, qtbot):
    form = paused.experiment.forms["model"]
    show_section(paused.experiment, "Model", form.controls["kernel"].native, qtbot)
    say_why(paused, "smooth sample", qtbot)
    with redraws(paused, qtbot, Role.MEAN, Role.STD, Role.ACQUISITION):
        pick(form.controls["kernel"], "rbf", qtbot)
    entry = change_of(paused, "model")
    assert (entry["step"], entry["who"]) == (TUNED_AT, "human")
    assert entry["why"] == "smooth sample"
    assert old_and_new(paused, "model", "kernel") == (("matern52",), ("rbf",))
    assert goes_on(paused, qtbot) != goes_without()


def test_larger_patches_describe_the_candidates_anew(paused, goes_without, qtbot):
    form = paused.experiment.forms["model"]
    controls = form.controls
    show_section(paused.experiment, "Model", controls["network"].native, qtbot)
    paused.monitor.tabs.setCurrentWidget(paused.monitor.feature_space)
    with redraws(paused, qtbot, Role.MEAN):
        pick(controls["network"], "none", qtbot)
    until(qtbot, controls["patch_px"].native.isVisible)
    say_why(paused, "particles are larger", qtbot)
    until(qtbot, lambda: len(cloud(paused)))
    before = cloud(paused)
    with redraws(paused, qtbot, Role.MEAN, Role.STD, Role.ACQUISITION):
        enter(controls["patch_px"], "20", qtbot)
    until(qtbot, lambda: not np.allclose(cloud(paused), before))
    assert change_of(paused, "model")["why"] == "particles are larger"
    assert change_of(paused, "model")["step"] == TUNED_AT
    assert old_and_new(paused, "model", "network", "patch_px") == (
        ("none", 8),
        ("none", 20),
    )
    smaller = ModelSettings(network="none")
    assert goes_on(paused, qtbot) != goes_without(model=smaller)


def test_embedding_and_learning_rate_rebuild_the_classic_network(
    paused, goes_without, qtbot
):
    controls = paused.experiment.forms["model"].controls
    show_section(paused.experiment, "Model", controls["network"].native, qtbot)
    assert not controls["learning_rate"].native.isVisible()
    with redraws(paused, qtbot, Role.MEAN):
        choose(controls["network"], "classic", qtbot)
    say_why(paused, "two are too few", qtbot)
    with redraws(paused, qtbot, Role.MEAN, Role.STD, Role.ACQUISITION):
        enter(controls["embedding_dim"], "4", qtbot)
    assert change_of(paused, "model")["why"] == "two are too few"
    assert old_and_new(paused, "model", "embedding_dim") == ((2,), (4,))
    with redraws(paused, qtbot, Role.MEAN, Role.STD, Role.ACQUISITION):
        enter(controls["learning_rate"], "0.05", qtbot)
    assert old_and_new(paused, "model", "embedding_dim", "learning_rate") == (
        (4, None),
        (4, 0.05),
    )
    assert change_of(paused, "model")["step"] == TUNED_AT
    there = goes_on(paused, qtbot)
    assert there != goes_without(model=ModelSettings(network="classic"))


def test_exposures_go_on_until_the_error_is_small_enough(paused, goes_without, qtbot):
    session, form = paused.session, paused.experiment.forms["measurement"]
    controls = form.controls
    show_section(paused.experiment, "Measurement", form, qtbot)
    enter(controls["exposure_s"], "0.0005", qtbot)
    assert not controls["only_promising"].native.isVisible()
    say_why(paused, "as long as it takes", qtbot)
    enter(controls["relative_error"], "3 %", qtbot)
    assert "valid number" in form.problems["relative_error"]
    assert session.settings.measurement.relative_error is None
    enter(controls["relative_error"], "0.03", qtbot)
    tick(controls["only_promising"], qtbot)
    until(qtbot, lambda: not newest(paused, "measurement")["only_promising"])
    whys = {entry["why"] for entry in entries(paused, "settings")}
    assert "as long as it takes" in whys
    assert change_of(paused, "measurement")["step"] == TUNED_AT
    shorter = session.settings.measurement.model_copy(update={"relative_error": None})
    there = goes_on(paused, qtbot)
    measured = session.live.measurements[TUNED_AT:]
    until(qtbot, lambda: len(targets(paused)) == STEPS)
    exposures_s = list(session.layers.measured_layer.features["exposure_s"])
    assert exposures_s[:TUNED_AT] == [0.1] * TUNED_AT
    assert exposures_s[TUNED_AT:] == [m.spectrum.exposure_s for m in measured]
    for each in measured:
        # It ends with the exposure in which the error was small enough.
        assert each.error <= 0.03 * each.target
        assert each.spectrum.exposure_s > 3 * 0.0005
        counted = each.target * each.spectrum.exposure_s
        assert counted < 3 * 0.03**-2
    assert there != goes_without(measurement=shorter)


def newest(cockpit, section):
    """A section as a person changed it last."""
    return change_of(cockpit, section)["changes"][section]["new"]


@pytest.fixture
def drifting(cockpit, qtbot):
    """A run on a sample that drifts, paused after `TUNED_AT` steps."""
    controls = cockpit.microscope.instrument.form.controls
    cockpit.show_microscope()
    enter(controls["drift_x_nm_per_s"], "10", qtbot)
    enter(controls["drift_y_nm_per_s"], "-5", qtbot)
    with qtbot.waitSignal(cockpit.session.connection.changed, timeout=TIMEOUT_MS):
        qtbot.mouseClick(cockpit.microscope.connect_button, LEFT)
    cockpit.show_experiment()
    qtbot.mouseClick(cockpit.experiment.controls.step, LEFT)
    until(qtbot, lambda: cockpit.session.state is RunPhase.PAUSED)
    step(cockpit, qtbot, TUNED_AT)
    yield cockpit
    cockpit.session.abort()
    until(qtbot, lambda: not cockpit.session.is_running)


def test_the_survey_image_is_taken_again_as_often_as_is_wanted(
    drifting, goes_without, qtbot
):
    session, form = drifting.session, drifting.experiment.forms["drift"]
    every = form.controls["every"]
    show_section(drifting.experiment, "Survey again", every.native, qtbot)
    measured = session.live.measurements
    assert all(m.spectrum.position == m.proposal.position for m in measured)
    say_why(drifting, "it creeps", qtbot)
    enter(every, "2", qtbot)
    until(qtbot, lambda: change_of(drifting, "drift"))
    entry = change_of(drifting, "drift")
    assert (entry["step"], entry["why"]) == (TUNED_AT, "it creeps")
    assert old_and_new(drifting, "drift", "every") == ((0,), (2,))
    there = goes_on(drifting, qtbot)
    taken = entries(drifting, "survey_again")
    assert [image["step"] for image in taken] == [12, 14]
    assert all("who" not in image for image in taken)
    layer = find_layer(drifting.viewer, Role.SURVEY_AGAIN, "image")
    first = session.layers.survey_layers[0]
    moved_nm = np.subtract(first.translate, layer.translate)
    np.testing.assert_allclose(moved_nm, taken[-1]["offset_nm"])
    # After 1.4 s of exposures, at 10 and -5 nm/s.
    np.testing.assert_allclose(moved_nm, (-7, 14), atol=3)
    # The beam follows: it goes elsewhere, and measures what the ring stood on.
    for each in session.live.measurements[TUNED_AT:]:
        assert each.spectrum.position.x > each.proposal.position.x + 0.02
    microscope = SimulatedSettings(drift_x_nm_per_s=10, drift_y_nm_per_s=-5)
    assert there != goes_without(microscope=microscope)
