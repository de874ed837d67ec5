"""The pins, conda's list and .venv: they agree with pyproject.toml, and a machine that will not do is told so."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PYTHONS = ["3.11.9", "3.12.1", "3.13.0"]


def wanted(*extras: str) -> list[Requirement]:
    project = PROJECT["project"]
    texts = project["dependencies"] + [text for extra in extras for text in project["optional-dependencies"][extra]]
    return [Requirement(text) for text in texts]


# ---- requirements.lock -----------------------------------------------------------------------------------------------

LOCK = (ROOT / "requirements.lock").read_text()
PIN = re.compile(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!]+)(?: ; (.+))?")


def pins(text: str, python: str) -> dict[str, str]:
    """Name and version of what the lock installs on Linux with one Python."""
    environment = default_environment() | {
        "python_version": python.rpartition(".")[0], "python_full_version": python,
        "sys_platform": "linux", "os_name": "posix", "platform_system": "Linux",
    }  # fmt: skip
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, version, marker = PIN.fullmatch(line).groups()
            if not marker or Marker(marker).evaluate(environment):
                assert canonicalize_name(name) not in found, f"{name} is pinned twice for Python {python}"
                found[canonicalize_name(name)] = version
    return found


def test_lock_holds_names_versions_and_markers_only():
    assert "://" not in LOCK
    assert "make lock" in LOCK.splitlines()[0]
    assert re.match(r"#\s+uv pip compile pyproject.toml .*--universal", LOCK.splitlines()[1])
    strange = [line for line in LOCK.splitlines() if line and not line.startswith("#") and not PIN.fullmatch(line)]
    assert strange == []  # also refuses local labels such as +cpu, hashes and addresses


@pytest.mark.parametrize("python", PYTHONS)
def test_lock_satisfies_the_project(python):
    locked = pins(LOCK, python)
    for requirement in wanted(*PROJECT["project"]["optional-dependencies"]):
        assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)]), requirement
    # The package is built without an isolated environment, by the setuptools of the lock.
    build = Requirement(PROJECT["build-system"]["requires"][0])
    assert build.specifier.contains(locked["setuptools"])


def test_lock_pins_what_others_tripped_over():
    locked = pins(LOCK, "3.11.9")
    assert (locked["torch"], locked["jupyter-book"], locked["sphinx-book-theme"]) == ("2.13.0", "1.0.4.post1", "1.1.4")
    assert not [name for name in locked if name.startswith(("nvidia", "triton", "cuda"))]


# ---- environment.yml -------------------------------------------------------------------------------------------------


def test_conda_environment_is_that_of_the_project():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(item["pip"] for item in conda["dependencies"] if isinstance(item, dict))
    listed = [Requirement(item.replace("pytorch", "torch")) for item in conda["dependencies"] if isinstance(item, str)]
    listed += [Requirement(item) for item in pip if not item.startswith("-")]
    found = {canonicalize_name(item.name): item.specifier for item in listed}
    assert found.pop("python") == Requirement(f"python{PROJECT['project']['requires-python']}").specifier
    assert "pip" in found and found.pop("pip") == ""
    assert found == {canonicalize_name(item.name): item.specifier for item in wanted("book", "test")}
    assert "-e ." in pip


# ---- .venv -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def clone(tmp_path):
    """The files that tools/venv.sh reads, an empty PATH but for the shell's own tools, and fake interpreters."""
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "venv.sh", tmp_path / "tools")
    (tmp_path / "requirements.lock").write_text("some-package==1.0\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    commands = tmp_path / "bin"
    commands.mkdir()
    for tool in ("sh", "cat", "cksum", "date", "dirname", "grep", "mkdir", "mv", "rm", "pwd", "env"):
        (commands / tool).symlink_to(shutil.which(tool))
    return tmp_path


def fake(clone: Path, name: str, body: str) -> None:
    path = clone / "bin" / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def good(clone: Path, name: str = "python3", pip: str = "exit 0") -> None:
    """A Python that is this one, but whose environments hold a pip that only notes what it was asked."""
    program = clone / "pip.sh"
    program.write_text(f"""#!/bin/sh
case "$*" in
  "-m pip"*) echo "$*" >>"{clone}/calls"; echo "chatter of pip"; {pip} ;;
  *) exec {sys.executable} "$@" ;;
esac
""")
    program.chmod(0o755)
    fake(clone, name, f"""case "$*" in
  "-m venv"*) mkdir -p .venv/bin; cp={clone}/pip.sh; {shutil.which("cp")} $cp .venv/bin/python ;;
  *) exec {sys.executable} "$@" ;;
esac""")  # fmt: skip


def run(clone: Path, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(clone / "tools" / "venv.sh")],
        env={"PATH": str(clone / "bin")} | environment, capture_output=True, text=True, cwd="/",
    )  # fmt: skip


def python_that_says(clone: Path, name: str, code: str) -> None:
    """An interpreter that pretends: ``code`` runs before the script's own question is put to it."""
    fake(clone, name, f'{{ echo "{code}"; cat; }} | exec {sys.executable} -')


OLD = "import sys; from collections import namedtuple; sys.version_info = (3, 9, 2)"
BARE = "import sys; sys.modules['ensurepip'] = None"


def one_line_error(process: subprocess.CompletedProcess) -> str:
    assert process.returncode != 0
    assert process.stdout == ""
    (line,) = process.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def test_too_old_a_python_gets_one_line(clone):
    python_that_says(clone, "python3", OLD)
    line = one_line_error(run(clone))
    assert "Python 3.11, 3.12 or 3.13 is needed, and python3 is Python 3.9.2" in line
    assert "PYTHON=" in line
    assert not (clone / ".venv").exists()


def test_a_python_without_venv_gets_one_line(clone):
    python_that_says(clone, "python3", BARE)
    line = one_line_error(run(clone))
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    assert "cannot make virtual environments" in line and f"apt install {version}" in line


def test_the_missing_package_is_named_rather_than_the_old_python(clone):
    python_that_says(clone, "python3", OLD)
    python_that_says(clone, "python3.12", BARE)
    assert "cannot make virtual environments" in one_line_error(run(clone))


def test_no_python_at_all_gets_one_line(clone):
    assert "none runs" in one_line_error(run(clone))
    assert "(nowhere) none runs" in one_line_error(run(clone, PYTHON="nowhere"))


def test_a_broken_shim_is_passed_over(clone):
    fake(clone, "python3", "echo 'python3: command not found' >&2; exit 127")
    python_that_says(clone, "python3.13", OLD)
    good(clone, "python3.11")
    process = run(clone)
    assert process.returncode == 0, process.stderr
    assert "python3.11)" in process.stdout.splitlines()[0]


def test_python_can_be_chosen(clone):
    good(clone, "python3")
    python_that_says(clone, "mine", OLD)
    assert "mine is Python 3.9.2" in one_line_error(run(clone, PYTHON="mine"))


def test_installs_once_in_few_words(clone):
    good(clone)
    first = run(clone)
    assert first.returncode == 0 and first.stderr == ""
    assert [line.split()[0] for line in first.stdout.splitlines()] == ["Creating", "Installing", "Installing", "Ready:"]
    calls = (clone / "calls").read_text().splitlines()
    assert calls[0].endswith("-r requirements.lock")
    assert calls[1].endswith("--no-deps --no-build-isolation -e .")
    assert len(calls) == 2

    second = run(clone)
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert (clone / "calls").read_text().splitlines() == calls


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_installs_again_when_what_is_wanted_changed(clone, name):
    good(clone)
    assert run(clone).returncode == 0
    with (clone / name).open("a") as file:
        file.write("# changed\n")
    again = run(clone)
    assert again.returncode == 0 and "Creating" not in again.stdout and "Ready" in again.stdout
    assert len((clone / "calls").read_text().splitlines()) == 4


def test_pip_is_heard_only_when_it_fails_and_the_next_run_starts_afresh(clone):
    good(clone, pip="exit 1")
    failed = run(clone)
    assert failed.returncode != 0
    assert "chatter of pip" in failed.stderr
    assert failed.stderr.splitlines()[-1].startswith("error: pip could not install")

    good(clone)
    mended = run(clone)
    assert mended.returncode == 0
    assert mended.stdout.splitlines()[0] == "Removing .venv: its installation was interrupted"
    assert "Creating" in mended.stdout and "chatter" not in mended.stdout + mended.stderr


def test_an_interrupted_installation_is_redone_from_nothing(clone):
    good(clone, pip="kill -9 $PPID")
    assert run(clone).returncode != 0
    (clone / ".venv" / "half-written").write_text("")
    good(clone)
    assert run(clone).returncode == 0
    assert not (clone / ".venv" / "half-written").exists()
    assert run(clone).stdout == ""


def test_an_environment_made_by_hand_is_added_to_and_never_removed(clone):
    good(clone, pip="exit 1")
    subprocess.run([str(clone / "bin" / "python3"), "-m", "venv", ".venv"], cwd=clone, check=True,
                   env={"PATH": str(clone / "bin")})  # fmt: skip
    (clone / ".venv" / "mine").write_text("")
    assert run(clone).returncode != 0
    good(clone)
    shutil.copy(clone / "pip.sh", clone / ".venv" / "bin" / "python")
    assert run(clone).returncode == 0
    assert (clone / ".venv" / "mine").exists()


def test_make_help_lists_every_target():
    text = (ROOT / "Makefile").read_text()
    listed = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, env=os.environ).stdout
    targets = set(re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split()) - {"help", "api"}
    assert {target for target in targets if f"make {target}" not in listed} == set()
