"""Sets up and runs `nox -s demo`, `tests`, `lowest`, `screenshots`, `bench`."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nox

nox.options.sessions = ["tests"]
nox.options.reuse_existing_virtualenvs = True

HERE = Path(__file__).parent
PINNED = HERE / "requirements" / "pinned.txt"
SYSTEM_LIBRARIES = (
    "xvfb",
    "xauth",
    # A window manager, a pointer and a keyboard for the tests.
    "openbox",
    "xdotool",
    "fonts-dejavu-core",
    "libdbus-1-3",
    "libegl1",
    "libfontconfig1",
    "libgl1",
    "libgl1-mesa-dri",
    "libglib2.0-0",
    "libxcb-cursor0",
    "libxcb-icccm4",
    "libxcb-image0",
    "libxcb-keysyms1",
    "libxcb-randr0",
    "libxcb-render-util0",
    "libxcb-shape0",
    "libxcb-xinerama0",
    "libxcb-xkb1",
    "libxkbcommon-x11-0",
)
TESTED = "all,eels,nion,remote,tango,tests"
XVFB = ("xvfb-run", "-a", "-s", "-screen 0 1600x1000x24")


@nox.session
def demo(session: nox.Session) -> None:
    """Run an experiment on the simulated microscope, in napari or headless."""
    _set_up(session, "all,eels")
    # Files that are named on the command line belong where the command was given.
    with session.chdir(session.invoked_from):
        session.run("napari-hae", "demo", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, those of the window in a real napari window.

    `nox -s tests -- --nightly` also runs those that take long. What is given after `--`
    goes to pytest.
    """
    _set_up(session, TESTED)
    session.run("python", "-m", "pytest", "-n", "2", *session.posargs)


@nox.session
def lowest(session: nox.Session) -> None:
    """Run the tests with the lowest versions that pyproject.toml says will do."""
    project = nox.project.load_toml("pyproject.toml")["project"]
    lowered = [
        requirement.replace(">=", "==")
        for requirement in (
            *project["dependencies"],
            *project["optional-dependencies"]["all"],
            *project["optional-dependencies"]["eels"],
            *project["optional-dependencies"]["remote"],
        )
        if ">=" in requirement
    ]
    _install_system_libraries(session)
    constraints = Path(session.create_tmp()) / "lowest.txt"
    constraints.write_text("\n".join(lowered))
    session.install("-c", str(constraints), "-e", f"{HERE}[{TESTED}]")
    # Other packages' lowest versions warn of what later ones have mended.
    quiet = ("-W", "ignore::DeprecationWarning")
    session.run("python", "-m", "pytest", "-n", "2", *quiet, *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure what docs/benchmarks.md says; with `--short` only the short form."""
    _set_up(session, "all,eels,remote")
    if "--short" in session.posargs:
        session.run("python", "benchmarks/short.py")
        return
    # One of the programs that the agent is compared with; six it forgets to ask for.
    session.install("-c", str(PINNED), "atomai", "six")
    for script in (
        "step_time",
        "beam_share",
        "bridge_overhead",
        "drift",
        "trap_sample",
        "operator_study",
        "dose",
        "compare",
        "peer_times",
        "intervals",
        "across_runs",
    ):
        session.run("python", f"benchmarks/{script}.py")
    session.run("python", "benchmarks/ablation.py", "--again")
    window = (*_display(), "python", "benchmarks/responsiveness.py")
    for layers in ((), ("--all-layers",)):
        session.run(*window, *layers, external=window[0] == XVFB[0])


@nox.session
def screenshots(session: nox.Session) -> None:
    """Make the screenshots of the documentation."""
    _set_up(session, "all,eels")
    run = (*_display(), "python", "scripts/screenshots.py", *session.posargs)
    session.run(*run, external=run[0] == XVFB[0])


def _set_up(session: nox.Session, extras: str) -> None:
    """Install what a session needs, unless its environment has it already."""
    if sys.platform == "linux":
        _install_system_libraries(session)
    stamp, state = Path(session.virtualenv.location) / "installed", _state(extras)
    if stamp.exists() and stamp.read_text() == state:
        session.log("The environment is current.")
        return
    stamp.unlink(missing_ok=True)
    torch = next(x for x in PINNED.read_text().splitlines() if x.startswith("torch=="))
    # First and alone: left to the solver it may come with gigabytes of CUDA.
    session.install(torch)
    session.install("-c", str(PINNED), "-e", f"{HERE}[{extras}]")
    stamp.write_text(state)


def _state(extras: str) -> str:
    """What an environment depends on; the package itself is not copied into it."""
    parts = [extras.encode(), str(HERE).encode(), sys.version.encode()]
    parts += [(HERE / "pyproject.toml").read_bytes(), PINNED.read_bytes()]
    return hashlib.sha256(b"\n".join(parts)).hexdigest()


def _display() -> tuple[str, ...]:
    """What to put before a command that opens a window."""
    has_one = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return () if sys.platform != "linux" or has_one else XVFB


def _install_system_libraries(session: nox.Session) -> None:
    """Install what Qt and OpenGL need on Debian and Ubuntu, if that is allowed."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-query")):
        return
    missing = [name for name in SYSTEM_LIBRARIES if not _is_installed(name)]
    if not missing:
        return
    install = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    may = _privileges()
    if may is None:
        session.warn(f"napari needs system libraries: sudo {shlex.join(install)}")
        return
    session.run(*may, "apt-get", "update", external=True, silent=True)
    session.run(
        *may,
        *install,
        external=True,
        silent=True,
        env={"DEBIAN_FRONTEND": "noninteractive"},
    )


def _is_installed(name: str) -> bool:
    # Ubuntu 24.04 renamed some packages when time got 64 bits.
    for package in (name, f"{name}t64"):
        query = ["dpkg-query", "-W", "-f", "${Status}", package]
        found = subprocess.run(query, capture_output=True, text=True, check=False)
        if "install ok installed" in found.stdout:
            return True
    return False


def _privileges() -> list[str] | None:
    """How to become root without a password; None if there is no way."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo is None:
        return None
    check = subprocess.run([sudo, "-n", "true"], capture_output=True, check=False)
    return [sudo] if check.returncode == 0 else None
