"""The public names, and the experiments and agents of scripts."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import napari_hae as hae
from napari_hae import api
from napari_hae.experiment.events import FinishReason
from napari_hae.instruments.simulated import SimulatedMicroscope

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "api.md"
BAND = hae.Band(low_ev=0.7, high_ev=1.1)
SETTINGS = hae.ExperimentSettings(
    survey=hae.SurveySettings(shape=(32, 32)),
    measurement=hae.MeasurementSettings(exposure_s=0.01),
    initial=hae.InitialDesign(points=4),
)
CENTRE = hae.Disc(x_nm=50, y_nm=50, radius_nm=20)


class FailsLater(SimulatedMicroscope):
    """Works until its third spectrum."""

    taken = 0

    def acquire_spectrum(self, detector, exposure_s):
        self.taken += 1
        if self.taken > 2:
            raise hae.InstrumentError("the filament broke")
        return super().acquire_spectrum(detector, exposure_s)


@pytest.fixture
def new(tmp_path):
    """Makes an experiment; the instrument may be another one."""

    def new(instrument=None, **given):
        instrument = instrument or hae.instruments.Simulated(realtime=False)
        defaults = {"target": BAND, "steps": 8, "settings": SETTINGS}
        out = tmp_path / "run.hae"
        return hae.Experiment(instrument, out=out, **{**defaults, **given})

    return new


@pytest.mark.parametrize(
    "part", ["napari_hae.experiment.ending", "napari_hae.instruments.catalogue"]
)
def test_each_part_is_loaded_alone_and_first(part):
    code = f"import sys, {part}; assert 'napari_hae.api' not in sys.modules"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_the_page_lists_the_public_names():
    table = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    listed = [
        name
        for line in table
        if not line.startswith("| `instruments`")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    ]
    assert sorted([*listed, "instruments"]) == sorted(api.__all__)
    assert set(api.__all__) <= set(dir(hae))


def test_names_are_loaded_when_they_are_asked_for():
    script = """
import sys
import napari_hae as hae
assert not {"numpy", "torch", "pydantic"} & set(sys.modules)
assert hae.UCB(beta=2).beta == 2
from napari_hae import Experiment
try:
    hae.nothing_like_it
except AttributeError as error:
    print(error)
"""
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert run.stdout.strip() == (
        "module 'napari_hae' has no attribute 'nothing_like_it'"
    ), run.stderr


@pytest.mark.parametrize(
    "module", ["experiment.settings", "agent.scalarizers", "cli.parser", "api"]
)
def test_a_module_may_be_the_first_that_is_imported(module):
    command = [sys.executable, "-c", f"import napari_hae.{module}"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.stderr == ""


def test_the_examples_of_the_page_run(tmp_path):
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    run = subprocess.run(
        [sys.executable, "-c", "\n".join(examples)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.splitlines()) == 20 + 4
    assert (tmp_path / "run.hae").is_dir()


def test_an_experiment_gives_what_its_record_has(new):
    run = new()
    run.forbid(CENTRE)
    measured = list(run)

    assert [m.step for m in measured] == list(range(8))
    for m in measured:
        assert math.hypot(m.x_nm - CENTRE.x_nm, m.y_nm - CENTRE.y_nm) > CENTRE.radius_nm
    stored = hae.open(run.path)
    assert stored.finish_reason is FinishReason.COMPLETED
    assert [m.target for m in stored.measurements] == [m.target for m in measured]
    assert list(run.table()["target"]) == [m.target for m in measured]
    assert len(run.to_hyperspy().data) == 8
    assert run.maps().mean.shape == (32, 32)
    (zone,) = stored.regions.forbidden
    assert zone.contains(50, 70).all()


def test_only_the_regions_allowed_are_measured(new):
    run = new()
    run.restrict_to(hae.Disc(x_nm=30, y_nm=30, radius_nm=15))
    for m in run:
        assert math.hypot(m.x_nm - 30, m.y_nm - 30) < 15


def test_a_zone_that_is_closed_within_the_loop_holds_at_once(new):
    run = new(steps=30)
    after = []
    for m in run:
        if m.step == 3:
            run.forbid(hae.Disc(x_nm=50, y_nm=50, radius_nm=35))
            closed_from = len(run.table())
        after.append(m)
    # One may have been exposed already when the zone was closed.
    for m in after[closed_from + 1 :]:
        assert math.hypot(m.x_nm - 50, m.y_nm - 50) > 35


def test_leaving_the_loop_stops_blanks_and_disconnects(new):
    run = new(steps=500)
    for m in run:
        if m.step == 2:
            break

    stored = run.stored()
    assert stored.finish_reason is FinishReason.STOPPED
    assert "left the loop" in (run.path / "journal.jsonl").read_text()
    assert not run._gate.status().connected
    with pytest.raises(RuntimeError, match="ran already"):
        next(iter(run))


def test_an_error_in_the_loop_stops_the_run(new):
    run = new(steps=500)
    with pytest.raises(ZeroDivisionError):
        for m in run:
            1 / (m.step - 2)

    assert run.stored().finish_reason is FinishReason.STOPPED
    assert not run._gate.status().connected


def test_a_run_that_fails_raises_and_keeps_what_it_measured(new):
    run = new(hae.instruments.own(FailsLater, realtime=False))
    with pytest.raises(hae.RunFailed, match="the filament broke"):
        run.run()

    assert len(run.stored().measurements) == 2
    assert run.stored().instrument == f"{__name__}:FailsLater"


def test_spectra_of_a_record_that_vanished_are_saved(new):
    run = new(steps=500)
    given = []
    with pytest.raises(hae.RunFailed, match="All spectra are saved: "):
        for m in run:
            given.append(m.step)
            if m.step == 3:
                shutil.rmtree(run.path)

    saved = hae.open(run.path)
    assert run.path.name == "run-rescued.hae"
    assert [m.step for m in saved.measurements][: len(given)] == given
    assert not any(np.isnan(m.spectrum.counts).any() for m in saved.measurements)


def test_a_survey_image_that_cannot_be_had_leaves_nothing_connected(new):
    survey = SETTINGS.survey.model_copy(update={"detectors": ("none",)})
    run = new(settings=SETTINGS.replaced(survey=survey))
    with pytest.raises((ValueError, hae.InstrumentError), match="none"):
        run.forbid(CENTRE)

    assert not run._gate.status().connected


def test_what_needs_a_person_is_refused(new):
    settings = SETTINGS.replaced(loop=hae.LoopSettings(approve=True))
    with pytest.raises(ValueError, match="approve"):
        new(settings=settings)


@given(radius_nm=st.floats(0.1, 1e4), angle=st.floats(0, 7), inside=st.floats(0, 0.999))
def test_a_disc_is_covered_by_what_forbids_it_and_covers_what_allows_it(
    radius_nm, angle, inside
):
    disc = hae.Disc(3, -4, radius_nm)
    y_nm, x_nm = math.sin(angle) * radius_nm, math.cos(angle) * radius_nm

    assert disc.around().contains(-4 + y_nm * inside, 3 + x_nm * inside).all()
    assert disc.around().contains(-4 + y_nm, 3 + x_nm).all()
    assert (
        not disc.within()
        .contains(-4 + y_nm * 1.0001, 3 + x_nm * 1.0001, edge=False)
        .any()
    )


@pytest.mark.parametrize("radius_nm", [0, -1, math.nan, math.inf])
def test_a_disc_that_is_none_is_refused(radius_nm):
    with pytest.raises(ValueError, match="radius above 0"):
        hae.Disc(0, 0, radius_nm)


def bump(row, column):
    return math.exp(-((row - 20) ** 2 + (column - 9) ** 2) / 60)


def told(seed):
    image = [[bump(row, column) for column in range(30)] for row in range(30)]
    agent = hae.Agent(image, seed=seed, initial=hae.InitialDesign(points=4))
    path = []
    for _ in range(14):
        place = agent.ask()
        path.append((place.row, place.column))
        agent.tell(place, bump(*path[-1]), 0.01)
    return agent, path


def test_an_agent_that_is_asked_finds_the_best_place_and_repeats_its_path():
    agent, path = told(seed=1)

    assert max(bump(*place) for place in path) > 0.95
    assert len(set(path)) == len(path)
    assert agent.maps.mean.shape == (30, 30)
    assert told(seed=1)[1] == path


def test_an_agent_values_spectra_by_its_target():
    axis = hae.EnergyAxis(0.0, 0.1, 20)
    counts = np.arange(20, dtype=np.float32)
    spectrum = hae.Spectrum(counts, axis, "EELS", hae.ProbePosition(0, 0), 0.1, 1.0)
    image = np.random.default_rng(0).random((16, 16))
    agent = hae.Agent(image, target=BAND)
    place = agent.ask()

    assert agent.tell(place, spectrum) == BAND(spectrum)
    with pytest.raises(ValueError, match="no target to value a spectrum"):
        hae.Agent(image).tell(place, spectrum)
    with pytest.raises(ValueError, match="target with its band"):
        hae.Agent(image, target=hae.Band())
    with pytest.raises(ValueError, match=r"got \(16,\)"):
        hae.Agent(image[0])
