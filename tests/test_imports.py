"""Imports run downwards only, `import hpsearch` is light, and workers know neither Optuna nor the store."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

import hpsearch

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "hpsearch"

FLOORS = (
    {"errors"},
    {"provenance"},
    {"metrics"},
    {"space", "data"},
    {"records"},
    {"training", "policy", "analysis"},
    {"tasks", "report"},
    {"plan"},
    {"display", "callbacks"},
    {"runtime"},
    {"result"},
    {"study"},
    {"study_loading", "study_running", "estimator"},
    {"cli"},
    {"__main__"},
)
"""Rooms, lowest floor first. A room imports from lower floors only, for types too; those on one floor do not know each
other. A room is a folder or a file of the package's root."""

HEAVY = ("torch", "transformers", "optuna", "plotly", "pandas", "sklearn", "sqlalchemy", "scipy", "ray")

FORBIDDEN = {
    "space": {"torch", "transformers", "optuna", "numpy", "pandas", "sqlalchemy"},
    "data": {"torch", "transformers", "optuna", "sqlalchemy"},
    "training": {"optuna", "sqlalchemy"},
    "tasks": {"optuna", "sqlalchemy"},
    "analysis": {"torch", "transformers", "sqlalchemy"},
    "report": {"torch", "transformers", "sqlalchemy"},
}
"""Room to the packages that it has no business with."""

SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    return module.split(".")[1]


def floor_of(room: str) -> int | None:
    return next((index for index, floor in enumerate(FLOORS) if room in floor), None)


def imports(tree: ast.Module, package: str) -> Iterator[tuple[int, str]]:
    """Yield (line, name) for all that is imported, at the top, inside functions, or for types only.

    `from a.b import c` is `a.b.c`: whether c is a module is not known here, and does not matter.
    """
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        else:
            waiting.extend(ast.iter_child_nodes(node))


def imports_of(path: Path) -> list[tuple[int, str]]:
    name = module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return sorted(imports(ast.parse(path.read_text(encoding="utf-8")), package))


def upward(path: Path) -> list[str]:
    """Return the imports of a file that do not go down, as text."""
    room = room_of(module_name(path))
    floor = floor_of(room)
    assert floor is not None, f"{path} is in no room that tests/test_imports.py knows; give its room a floor there"
    found = []
    for line, name in imports_of(path):
        if not name.startswith("hpsearch.") or name.removeprefix("hpsearch.").startswith("__"):
            continue
        target = room_of(name)
        below = floor_of(target)
        if target != room and (below is None or below >= floor):
            found.append(f"{path.relative_to(ROOT)}:{line} ({room}) imports {name}")
    return found


def loaded_by(statement: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after a statement."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_there_are_sources_to_look_at() -> None:
    rooms = {room_of(module_name(path)) for path in SOURCES}
    assert {"errors", "space", "records"} <= rooms


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downwards_only(path: Path) -> None:
    assert upward(path) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_rooms_do_without_packages_that_are_not_theirs(path: Path) -> None:
    room = room_of(module_name(path))
    forbidden = FORBIDDEN.get(room, set()) | ({"plotly"} if room != "report" else set())
    found = [f"line {line}: {name}" for line, name in imports_of(path) if name.split(".")[0] in forbidden]
    assert found == [], f"{room} does without {', '.join(sorted(forbidden))}"


def circles(graph: Mapping[str, set[str]]) -> list[set[str]]:
    """Return the groups of modules that import each other in circles."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            new = graph.get(waiting.pop(), set()) - seen
            seen |= new
            waiting.extend(new)
        return seen

    below = {module: reached(module) for module in graph}
    in_circles = {frozenset({m for m in graph if module in below[m]} & below[module]) for module in graph}
    return [set(circle) for circle in in_circles if circle]


def import_graph(paths: Iterable[Path]) -> dict[str, set[str]]:
    """Return module to the modules of hpsearch that it imports, for types too."""
    modules = {module_name(path): path for path in paths}
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        names = {name for _, name in imports_of(path)}
        names |= {name.rpartition(".")[0] for name in names}
        graph[module] = {name for name in names if name in modules and name != module}
    return graph


def test_no_modules_import_each_other_in_circles() -> None:
    assert circles(import_graph(SOURCES)) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_reaches_up_to_the_root(path: Path) -> None:
    """`import hpsearch` inside the package would close a circle through every public name."""
    names = [name for _, name in imports_of(path)]
    assert "hpsearch" not in names
    public = {f"hpsearch.{name}" for name in hpsearch.__all__} - {"hpsearch.errors"}  # that is a module, too
    assert public.isdisjoint(names)


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [{"a", "b", "c"}]


def test_no_module_is_longer_than_400_lines() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {path: length for path, length in lengths.items() if length > 400} == {}


def test_no_relative_imports_hide_a_floor() -> None:
    """Rooms may use them within themselves; here they are resolved, which this holds on a made-up file."""
    tree = ast.parse("from . import messages\nfrom ..records import store\nfrom .pools.local import LocalPool")
    found = [name for _, name in sorted(imports(tree, "hpsearch.runtime"))]
    assert found == ["hpsearch.runtime.messages", "hpsearch.records.store", "hpsearch.runtime.pools.local.LocalPool"]


def test_the_scan_finds_what_it_must(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upward import, one on the same floor, one for types only, and one inside a function are found."""
    source = tmp_path / "hpsearch" / "policy" / "made_up.py"
    source.parent.mkdir(parents=True)
    source.write_text(
        "from typing import TYPE_CHECKING\n"
        "from hpsearch.space import Space\n"
        "from hpsearch.training import Numerics\n"
        "if TYPE_CHECKING:\n"
        "    from hpsearch.study import Study\n"
        "def ask():\n"
        "    import hpsearch.runtime.worker\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    assert [text.split()[-1] for text in upward(source)] == [
        "hpsearch.training.Numerics",
        "hpsearch.study.Study",
        "hpsearch.runtime.worker",
    ]


def test_import_hpsearch_loads_nothing_heavy() -> None:
    assert loaded_by("import hpsearch").isdisjoint((*HEAVY, "rich", "IPython", "wandb", "mlflow"))


def test_the_space_and_the_records_load_nothing_heavy() -> None:
    loaded = loaded_by("import hpsearch.space, hpsearch.records")
    assert loaded.isdisjoint(HEAVY)
    assert "hpsearch.records.store" not in loaded


def test_the_command_line_loads_nothing_heavy() -> None:
    assert loaded_by("import hpsearch.cli.commands").isdisjoint(HEAVY)


def test_ray_is_imported_only_where_a_study_trains_on_it() -> None:
    loaded = loaded_by("import hpsearch.runtime.study_run, hpsearch.runtime.ray_actor, hpsearch.cli.doctor")
    assert "hpsearch.runtime.pools.ray" in loaded and "ray" not in loaded
    importers = [str(path.relative_to(PACKAGE)) for path in SOURCES if "ray" in {name for _, name in imports_of(path)}]
    assert importers == ["runtime/pools/ray_connection.py"]


def test_workers_know_neither_optuna_nor_the_store() -> None:
    modules = ["hpsearch.runtime.worker"]
    modules += [module_name(path) for path in SOURCES if room_of(module_name(path)) in ("tasks", "training")]
    loaded = loaded_by("\n".join(f"import {module}" for module in modules))
    assert "hpsearch.runtime.worker" in loaded
    assert loaded.isdisjoint({"optuna", "sqlalchemy", "plotly", "hpsearch.records.store"})
