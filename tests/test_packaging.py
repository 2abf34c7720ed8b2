"""What is packed: the search spaces go along, everywhere, and nothing else does."""

import json
import os
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
SPACES = sorted(path.name for path in (ROOT / "search_spaces").glob("*.toml"))
LIST_SPACES = """
import hpsearch, json
from hpsearch.space import list_spaces
print(json.dumps([hpsearch.__file__, sorted(list_spaces())]))
"""

pytest.importorskip("build")
pytest.importorskip("hatchling")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sdist made of this checkout, and the wheel made of that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {"wheel": next(folder.glob("*.whl")), "sdist": next(folder.glob("*.tar.gz"))}


def names_of_the_wheel(built: dict[str, Path]) -> list[str]:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        return wheel.namelist()


def found_by(folder: Path) -> list[str]:
    """Return the names of the spaces that a fresh interpreter finds with hpsearch imported from `folder`."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", LIST_SPACES]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)
    assert done.returncode == 0, done.stderr
    file, names = json.loads(done.stdout)
    assert Path(file).is_relative_to(folder.resolve()), f"{file} was imported, not the one in {folder}"
    return [f"{name}.toml" for name in names]


def test_there_are_spaces_to_look_for() -> None:
    assert {"bert.toml", "image-transfer.toml", "lora.toml"} <= set(SPACES)
    assert len(SPACES) >= 10


def test_the_wheel_has_one_package(built: dict[str, Path]) -> None:
    tops = {name.split("/")[0] for name in names_of_the_wheel(built)}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"hpsearch"}


def test_the_wheel_has_every_source_and_the_marker_of_its_types(built: dict[str, Path]) -> None:
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "hpsearch").rglob("*.py")}
    assert {*sources, "hpsearch/py.typed"} <= set(names_of_the_wheel(built))


def test_the_wheel_has_all_that_pages_are_made_of(built: dict[str, Path]) -> None:
    report = ROOT / "hpsearch" / "report"
    files = {str(path.relative_to(ROOT)) for path in report.rglob("*") if path.suffix in (".html", ".css", ".js")}
    names = {Path(name).name for name in files}
    assert {"document.html", "page.html", "comparison.html", "page.css", "page.js"} <= names
    assert files <= set(names_of_the_wheel(built))
    with tarfile.open(built["sdist"]) as sdist:
        assert files <= {name.split("/", 1)[1] for name in sdist.getnames() if "/" in name}


def test_the_wheel_names_its_licence_and_its_command(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        texts = {name.split("/", 1)[1]: name for name in wheel.namelist() if ".dist-info/" in name}
        metadata = wheel.read(texts["METADATA"]).decode()
        commands = wheel.read(texts["entry_points.txt"]).decode()
    assert "License-Expression: MIT" in metadata
    assert "hpsearch = hpsearch.cli.commands:app" in commands
    assert "licenses/LICENSE" in texts


def test_the_spaces_are_found_in_the_unpacked_wheel(built: dict[str, Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        wheel.extractall(tmp_path)
    assert found_by(tmp_path) == SPACES


def test_the_spaces_are_found_in_the_unpacked_sdist(built: dict[str, Path], tmp_path: Path) -> None:
    with tarfile.open(built["sdist"]) as sdist:
        sdist.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    assert found_by(folder) == SPACES


def test_the_spaces_are_found_in_the_checkout() -> None:
    assert found_by(ROOT) == SPACES


def test_the_spaces_are_found_in_an_editable_install(tmp_path: Path) -> None:
    """The files of the checkout count, not a copy of the day of the installation."""
    venv.create(tmp_path / "environment", system_site_packages=False, with_pip=False)
    scripts = tmp_path / "environment" / ("Scripts" if os.name == "nt" else "bin")
    site = subprocess.run(
        [scripts / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    from hatchling.build import build_editable

    here = Path.cwd()
    os.chdir(ROOT)
    try:
        name = build_editable(str(tmp_path))
    finally:
        os.chdir(here)
    with zipfile.ZipFile(tmp_path / name) as wheel:
        wheel.extractall(site)
    code = "import hpsearch; from hpsearch.space import files; print(*files.shipped_files().values(), sep='\\n')"
    done = subprocess.run([scripts / "python", "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == [str(ROOT / "search_spaces" / name) for name in SPACES]


def test_the_sdist_has_what_is_needed_and_nothing_that_a_study_leaves(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as sdist:
        names = [name.split("/", 1)[1] for name in sdist.getnames() if "/" in name]
    assert {"Makefile", "constraints.txt", "pyproject.toml", "LICENSE", "README.md"} <= set(names)
    assert not [name for name in names if name.startswith(("runs/", ".venv/", "shared/"))]


def test_every_requirement_is_among_the_constraints() -> None:
    """What is installed by `make` is the same on every day."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            pinned[canonicalize_name(name)] = version
    wanted = [
        *project["dependencies"],
        *(text for extra in project["optional-dependencies"].values() for text in extra),
    ]
    for requirement in map(Requirement, wanted):
        if requirement.name != "hpsearch":
            name = canonicalize_name(requirement.name)
            assert name in pinned, f"{requirement} has no line in constraints.txt"
            assert pinned[name] in requirement.specifier, f"{requirement} does not allow {pinned[name]}"
