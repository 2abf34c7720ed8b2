"""The public interface, written out: a name that comes or goes is a decision, not an accident."""

import inspect
import subprocess
import sys

import pytest

import hpsearch
from hpsearch import errors

PUBLIC = [
    "Budget",
    "Categorical",
    "CausalLanguageModeling",
    "ChatFineTuning",
    "CommandTask",
    "CustomTask",
    "EarlyStopping",
    "FineTuneSearchCV",
    "Float",
    "FunctionTask",
    "Grid",
    "Holdout",
    "HpsearchError",
    "ImageClassification",
    "ImageRegression",
    "Int",
    "MLflowCallback",
    "Pruner",
    "Racing",
    "Result",
    "SequenceToSequence",
    "Space",
    "Study",
    "SuccessiveHalving",
    "TextClassification",
    "TextRegression",
    "TokenClassification",
    "TrainerTask",
    "WandbCallback",
    "__version__",
    "compare",
    "errors",
    "load",
    "run",
    "studies",
]

ERRORS = {
    "HpsearchError": Exception,
    "UsageError": errors.HpsearchError,
    "SpaceError": errors.UsageError,
    "DataError": errors.UsageError,
    "PreparedDataError": errors.DataError,
    "TaskError": errors.UsageError,
    "MetricError": errors.UsageError,
    "StudyNotFoundError": errors.UsageError,
    "StudyChangedError": errors.UsageError,
    "NumericsError": errors.HpsearchError,
    "NodeError": errors.HpsearchError,
    "StoreError": errors.HpsearchError,
    "StudyExistsError": errors.StoreError,
    "LeaseHeldError": errors.StoreError,
    "LeaseLostError": errors.StoreError,
    "CheckpointError": errors.HpsearchError,
    "StudyFailedError": errors.HpsearchError,
}

METHODS = {
    "Study": {"enqueue", "run", "forecast", "stop", "result", "optuna", "store", "url", "prepared", "folds", "default"},
    "Result": {"best", "default", "table", "curves", "evidence", "test_scores", "out_of_fold", "refit", "export",
               "figures", "report", "text", "summary"},
    "Pruner": {"reason_to_prune", "limit", "reason_to_wait"},
    "Space": {"load", "parameters", "fixed", "default", "validate", "contains", "config", "grid", "digest"},
}  # fmt: skip
"""What a user calls; further names are for the framework's own floors."""


def test_the_public_names_are_these() -> None:
    assert sorted(hpsearch.__all__) == PUBLIC
    assert len(hpsearch.__all__) == len(set(hpsearch.__all__))
    assert [name for name in dir(hpsearch) if name in PUBLIC] == PUBLIC


@pytest.mark.parametrize("name", [name for name in PUBLIC if not name.startswith("_")])
def test_each_public_name_is_there_and_says_what_it_is(name: str) -> None:
    found = getattr(hpsearch, name)
    assert getattr(hpsearch, name) is found
    assert len(inspect.getdoc(found) or "") > 20


@pytest.mark.parametrize("name", METHODS)
def test_what_a_user_calls_is_there_and_explained(name: str) -> None:
    kind = getattr(hpsearch, name)
    for method in METHODS[name]:
        found = inspect.getattr_static(kind, method)
        if isinstance(found, classmethod | staticmethod):
            found = found.__func__
        text = inspect.getdoc(getattr(found, "func", found)) or ""
        simple = isinstance(found, property) and name == "Space"  # explained among the class's attributes
        assert len(text) > 10 or (simple and method in (kind.__doc__ or "")), f"{name}.{method}"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Studdy'"):
        _ = hpsearch.Studdy


def test_a_star_import_brings_all_of_them() -> None:
    code = "from hpsearch import *\nprint(sorted(name for name in dir() if name != '__builtins__'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(PUBLIC) <= set(eval(done.stdout))


def test_the_tree_of_errors_is_whole_and_drawn_as_it_is() -> None:
    found = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)}
    assert set(found) == set(ERRORS)
    for name, base in ERRORS.items():
        assert found[name].__bases__[0] is base, name
        assert found[name].__doc__
        assert name in (errors.__doc__ or ""), f"{name} is missing in the drawing"
    assert issubclass(errors.UsageError, ValueError)


def test_every_error_class_of_the_package_is_in_the_tree_or_never_leaves_it() -> None:
    """Ten of ours are no errors of the user's: the worker turns `Diverged` into an outcome, the feature cache catches
    `NotKeptError` (it steps aside) and `_BoundaryReached` (a pass through a model ends where it was to end), a run ends
    with `TimeIsUpError` as with its timeout, what meets `Unavailable` waits for the database, and a device that is
    not measured (`NotMeasuredError`) trains one trial, trials without MPS (`MpsRefusedError`) take turns, a segment
    whose memory is to be tried waits for a device in use (`DeviceInUseError`), and a forecast tries a configuration
    again that ran out of memory (`NoMemoryError`). A run of the user's own code that failed or was killed
    (`RunFailedError`, `RunLostError`, `CommandFailedError`) is an outcome too, and `RunEnded` unwinds that code.
    `UnclearAnswerError` becomes the error of a row."""
    import ast
    from pathlib import Path

    package = Path(hpsearch.__file__).parent
    found = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            bases = [ast.unparse(base) for base in node.bases] if isinstance(node, ast.ClassDef) else []
            if any(base.endswith(("Error", "Exception")) for base in bases):
                found.add(node.name)
    inner = {"Diverged", "NotKeptError", "_BoundaryReached", "TimeIsUpError", "Unavailable"}
    assert found == {
        *ERRORS,
        *inner,
        "NotMeasuredError",
        "MpsRefusedError",
        "DeviceInUseError",
        "NoMemoryError",
        "CommandFailedError",
        "RunEnded",
        "RunFailedError",
        "RunLostError",
        "UnclearAnswerError",
    }
