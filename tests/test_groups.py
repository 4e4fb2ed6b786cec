"""What the workers share out."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict

CONFTEST = "from groups import group_scheduler as pytest_xdist_make_scheduler"
TEST = """
import os, pathlib, pytest

@pytest.mark.parametrize("number", range(4))
def test_who(number):
    with open(pathlib.Path(__file__).parents[{up}] / "said.txt", "a") as said:
        print("{group}", os.environ["PYTEST_XDIST_WORKER"], file=said)
"""


def test_a_file_stays_with_one_worker_and_so_do_all_real_hands(tmp_path, request):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    folder = tmp_path / "real_hand"
    folder.mkdir()
    for name in ("one", "two"):
        (tmp_path / f"test_{name}.py").write_text(TEST.format(up=0, group=name))
        text = TEST.format(up=1, group="hands")
        (folder / f"test_hand_{name}.py").write_text(text)
    (tmp_path / "pytest.ini").write_text(
        f"[pytest]\npythonpath = {request.config.rootpath / 'tests'}"
    )
    options = ("-n", "2", "--dist", "loadfile", "-p", "no:napari", "-q")
    command = [sys.executable, "-m", "pytest", *options]
    subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    workers = defaultdict(list)
    for line in (tmp_path / "said.txt").read_text().splitlines():
        group, worker = line.split()
        workers[group].append(worker)
    assert {group: len(said) for group, said in workers.items()} == {
        **{"one": 4, "two": 4},
        "hands": 8,
    }
    assert all(len(set(said)) == 1 for said in workers.values())
