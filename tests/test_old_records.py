"""Records that version 0.1.0 wrote stay readable (see `records/README.md`)."""

from __future__ import annotations

import json
import math
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from napari_hae.cli import main
from napari_hae.experiment.stored import StoredRun, open_run
from steered import until

FOLDER = Path(__file__).parent / "records" / "format_2"
NAMES = sorted(path.name.removesuffix(".tar.xz") for path in FOLDER.glob("*.tar.xz"))
EVENTS = set(
    "start resume survey survey_again proposal refusal veto booked measurement maps "
    "settings targets regions queue alone vote discard finer wider branch warning "
    "warning_over end".split()
)
"""All that 0.1.0 could write."""


def unpacked(name: str, folder: Path) -> Path:
    with tarfile.open(FOLDER / f"{name}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / f"{name}.hae"


def info(record: Path, capsys) -> dict:
    capsys.readouterr()
    assert main(["info", "--json", str(record)]) == 0
    return json.loads(capsys.readouterr().out)


def stored(name: str, suffix: str) -> dict:
    return json.loads((FOLDER / f"{name}.{suffix}").read_text(encoding="utf-8"))


def lines(record: Path) -> list[dict]:
    """The journal as it lies on disk, without a torn last line."""
    text = (record / "journal.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n")[:-1]]


def missing(old: object, new: object, where: str = "") -> list[str]:
    """Names of what the old values have, and the new ones do not have alike."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            name
            for key, value in old.items()
            for name in missing(value, new.get(key), f"{where}.{key}")
        ]
    return [] if old == new else [where]


def state_of(run: StoredRun) -> dict:
    """What `make_format_2.py` has kept of the same record, as 0.1.0 read it."""
    state = {
        "settings": run.settings.model_dump(mode="json"),
        "first_settings": run.first_settings.model_dump(mode="json"),
        "regions": run.regions.to_json(),
        "vetoed": sorted(run.vetoed),
        "queue": run.queue,
        "votes": {str(step): str(vote) for step, vote in run.votes.items()},
        "discarded": sorted(run.discarded),
        "surveys": run.surveys,
        "warnings": run.warnings,
        "beam_on_s": sum(exposure.beam_on_s for exposure in run.exposures),
        "images_again": [[image.index, image.offset_nm] for image in run.images_again],
    }
    text = json.dumps(state)
    folder = json.dumps(f"{run.path.absolute().parent}{os.sep}")[1:-1]
    return json.loads(text.replace(folder, ""))


@pytest.fixture
def record(request, tmp_path) -> Path:
    return unpacked(request.param, tmp_path)


every_record = pytest.mark.parametrize("record", NAMES, indirect=True)


def test_the_records_hold_every_event_that_the_version_could_write(tmp_path):
    written = [line for name in NAMES for line in lines(unpacked(name, tmp_path))]
    assert {line["event"] for line in written} == EVENTS
    starts = [line for line in written if line["event"] == "start"]
    assert {(line["format"], line["version"]) for line in starts} == {(2, "0.1.0")}


@every_record
def test_info_prints_what_the_version_printed_that_wrote_the_record(record, capsys):
    expected, found = stored(record.stem, "json"), info(record, capsys)
    assert {key: found[key] for key in expected} == expected
    assert found["damage"] == []


@every_record
def test_what_a_person_did_is_read_as_it_was(record):
    expected, found = stored(record.stem, "state.json"), state_of(open_run(record))
    assert missing(expected, found) == []


@every_record
def test_spectra_and_images_are_those_on_disk(record):
    run = open_run(record)
    for measurement in run.measurements:
        chunk = record / "arrays.zarr" / "spectra" / "c" / str(measurement.step) / "0"
        counts = np.frombuffer(chunk.read_bytes(), dtype="<f4")
        np.testing.assert_array_equal(measurement.spectrum.counts, counts)
    shapes = [run.image(index).shape for index in range(run.surveys)]
    assert len(shapes) == run.surveys > 0
    written = [line["step"] for line in lines(record) if line["event"] == "maps"]
    maps = run.latest_maps()
    assert (maps is None) == (not written)
    assert maps is None or np.isfinite(maps.mean).any()


@every_record
def test_export_writes_all_spectra_for_hyperspy(record, tmp_path, capsys):
    hs = pytest.importorskip("hyperspy.api")
    out = tmp_path / "run.hspy"
    assert main(["export", str(record), str(out)]) == 0
    expected = stored(record.stem, "json")["measurements"]
    signal = hs.load(out)
    assert signal.data.shape == (len(expected), 439)
    assert np.isfinite(signal.data).all()
    targets = [math.nan if m["target"] is None else m["target"] for m in expected]
    np.testing.assert_array_equal(signal.metadata.napari_hae.target, targets)


@every_record
def test_forensics_reports_on_it(record, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["forensics", str(record), "--out", str(page)]) == 0
    steps = stored(record.stem, "json")["steps"]
    assert f"{steps} spectra on simulated" in capsys.readouterr().out
    assert page.stat().st_size > 10_000


@pytest.mark.parametrize("record", ["steered", "killed", "finer"], indirect=True)
def test_it_is_gone_on_with(record, capsys):
    before = info(record, capsys)["measurements"]
    steps = len(before) + 3
    assert main(["resume", str(record), "--steps", str(steps)]) == 0
    after = info(record, capsys)
    assert after["finish_reason"] == "completed"
    assert after["steps"] == steps
    assert after["measurements"][: len(before)] == before
    assert after["damage"] == []


@pytest.mark.parametrize("record", ["branched"], indirect=True)
def test_a_zone_on_a_sample_that_drifted_unwatched_closes_the_field(record, capsys):
    """The sample may be anywhere since the last exposure, and the zone with it."""
    steps = info(record, capsys)["steps"]
    assert main(["resume", str(record), "--steps", str(steps + 3)]) == 0
    after = info(record, capsys)
    assert (after["finish_reason"], after["steps"]) == ("exhausted", steps)


@pytest.mark.parametrize("record", ["aborted"], indirect=True)
def test_the_dose_that_it_took_still_counts(record, capsys):
    again = ["resume", str(record), "--set", "measurement.exposure_s=0.01"]
    taken_e = 3.756e9
    # Of that, 3.74e9 went into an exposure that was aborted.
    for limit_e, expected in (taken_e, 9), (taken_e + 1e7, 11):
        main([*again, "--steps", "11", "--set", f"budget.dose_e={limit_e}"])
        assert info(record, capsys)["steps"] == expected


@pytest.mark.gui
@pytest.mark.parametrize("record", ["steered", "finer", "killed"], indirect=True)
def test_napari_shows_it(record, cockpit, qtbot):
    session = cockpit.session
    expected = stored(record.stem, "json")["measurements"]
    state = stored(record.stem, "state.json")
    cockpit.viewer.open(str(record))
    until(qtbot, lambda: len(session.live.measurements) == len(expected))
    assert session.record_path == record
    layer, pixel_nm = session.layers.measured_layer, session.layers.frame.pixel_nm
    shown_nm = [layer.data_to_world(point) for point in layer.data]
    measured_nm = [(m["y_nm"], m["x_nm"]) for m in expected]
    np.testing.assert_allclose(shown_nm, measured_nm, rtol=0, atol=max(pixel_nm))
    assert {str(k): str(v) for k, v in session.live.votes.items()} == state["votes"]
