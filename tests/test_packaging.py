"""The package as it arrives at a user: installed, with its commands and its Twisted plugins."""

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from twisted.python import usage

from twisted_store.api.options import Options as ApiOptions
from twisted_store.node.options import Options as NodeOptions

ROOT = Path(__file__).parents[1]
ROLES: dict[str, type[usage.Options]] = {"storeapi": ApiOptions, "storenode": NodeOptions}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is packaged: building leaves files behind in the folder it is done in."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("setup.py", "pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("twisted", "twisted_store"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("*cache*"))
    return copy


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command to its good end and return what it said."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("mode", [[], ["--editable"]], ids=["wheel", "editable"])
def test_an_installed_package_brings_its_commands(
    mode: list[str], source: Path, tmp_path: Path
) -> None:
    """Both ways of installing give `twistd storeapi`, `twistd storenode` and `twisted-store`."""
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=tmp_path)
    python = venv / "bin" / "python"
    # A path entry of a path entry is not followed: our dependencies are there, this project is not.
    dependencies = sysconfig.get_path("purelib")
    packages = Path(run(python, "-c", "import site; print(site.getsitepackages()[0])", cwd=venv))
    (packages.parent / packages.name.strip() / "dependencies.pth").write_text(dependencies)
    alone = ["--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed"]
    run(python, "-m", "pip", "install", *alone, *mode, source, cwd=tmp_path)

    twistd: list[str | Path] = [python, "-c", "from twisted.scripts.twistd import run; run()"]
    assert {"storeapi", "storenode"} <= set(run(*twistd, "--help", cwd=tmp_path).split())
    for role in ROLES:
        assert "--listen" in run(*twistd, role, "--help", cwd=tmp_path)
    assert "Usage" in run(venv / "bin" / "twisted-store", "--help", cwd=tmp_path)


def test_the_plugin_folders_are_no_packages() -> None:
    """An `__init__.py` there would hide Twisted, or our plugins from Twisted."""
    assert list(ROOT.glob("twisted/**/__init__.py")) == []


def test_every_folder_of_the_package_is_packaged() -> None:
    """A folder without `__init__.py` is left out of the wheel, and nobody would notice here."""
    folders = {file.parent for file in ROOT.glob("twisted_store/**/*.py")}
    assert [each for each in folders if not (each / "__init__.py").exists()] == []


@pytest.mark.parametrize("line", (ROOT / "Procfile").read_text().splitlines())
def test_the_roles_take_the_options_of_the_procfile(line: str) -> None:
    """The lines start the roles that there are, with options that they have."""
    match = re.fullmatch(r"\w+: twistd -n --pidfile= (\w+) (.+)", line)
    assert match is not None
    ROLES[match[1]]().parseOptions(match[2].split())
