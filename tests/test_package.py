from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
from npe2 import PluginManifest

ROOT = Path(__file__).parents[1]
MANIFEST = ROOT / "src" / "napari_hae" / "napari.yaml"


def python(script: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env={**os.environ, **environment},
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target"]
    subprocess.run([*pip, target, wheel], check=True, capture_output=True)
    return target


def test_the_manifest_is_valid_and_linked_at_the_top():
    manifest = PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    assert (ROOT / "napari.yaml").read_text() == MANIFEST.read_text()


def test_npe2_validate_passes():
    subprocess.run(
        [sys.executable, "-m", "npe2", "validate", "napari-hae"],
        check=True,
        capture_output=True,
    )


def test_the_wheel_holds_the_manifest_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "napari_hae/napari.yaml" in names
    assert "napari_hae/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert all(name.startswith("napari_hae") for name in names)


def test_what_an_index_shows_of_the_readme_links_to_what_it_can_reach(wheel):
    archive = zipfile.ZipFile(wheel)
    name = next(name for name in archive.namelist() if name.endswith("/METADATA"))
    metadata = message_from_bytes(archive.read(name))
    links = re.findall(r"\]\(([^)]+)\)", metadata.get_payload())
    assert any(link.endswith(".png") for link in links)
    assert [link for link in links if not link.startswith("https://")] == []
    labels = {url.split(",")[0] for url in metadata.get_all("Project-URL")}
    assert {"Homepage", "Documentation", "Issues"} <= labels


HEAVY = {"torch", "gpytorch", "botorch", "hyperspy"}

OPEN_THE_MENU = """
import json, sys
import napari, napari_hae
viewer = napari.Viewer(show=False)
viewer.window.plugins_menu.aboutToShow.emit()
def texts(menu):
    for action in menu.actions():
        yield action.text()
        if action.menu():
            yield from texts(action.menu())
shown = list(texts(viewer.window.plugins_menu))
print(json.dumps({"modules": sorted(sys.modules), "shown": shown}))
viewer.close()
"""


@pytest.mark.gui
def test_neither_import_nor_the_plugins_menu_load_anything_heavy():
    seen = json.loads(python(OPEN_THE_MENU).splitlines()[-1])
    assert {"Microscope", "Experiment", "Monitor"} <= {
        text.replace("&", "").split(" (")[0] for text in seen["shown"]
    }
    assert not HEAVY & set(seen["modules"])


def test_experiment_agent_and_instruments_need_neither_qt_nor_napari():
    script = """
import importlib, pkgutil, sys, napari_hae
for part in ("experiment", "agent", "instruments"):
    package = importlib.import_module(f"napari_hae.{part}")
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
print(sorted({"qtpy", "PyQt6", "PySide6", "napari", "magicgui"} & set(sys.modules)))
"""
    assert python(script).strip() == "[]"


OPEN_WIDGETS = """
import pathlib, sys
import napari, napari_hae
assert pathlib.Path(napari_hae.__file__).is_relative_to(sys.argv[1] or "."), napari_hae
viewer = napari.Viewer()
menu = viewer.window.plugins_menu
menu.aboutToShow.emit()
def actions(menu):
    for action in menu.actions():
        if action.menu():
            yield from actions(action.menu())
        else:
            yield action
wanted = ("Microscope", "Experiment", "Monitor")
for name in wanted:
    named = (a for a in actions(menu) if name in a.text().replace("&", ""))
    next(named).trigger()
docks = " ".join(viewer.window.dock_widgets)
assert all(name in docks for name in wanted), docks
print("opened", docks)
viewer.close()
"""


@pytest.mark.gui
def test_the_widgets_open_from_the_plugins_menu_of_an_installed_wheel(installed):
    script = OPEN_WIDGETS.replace('sys.argv[1] or "."', repr(str(installed)))
    assert "opened" in python(script, PYTHONPATH=str(installed))


def test_ci_runs_the_command_that_the_readme_gives():
    command = "pip install nox && nox -s tests"
    assert command in (ROOT / "README.md").read_text()
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()
