"""The judge is the only one who knows what targets are: nobody outside of hpsearch/tasks asks."""

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import hpsearch
from hpsearch.tasks.classes.judge import ClassJudge

PACKAGE = Path(hpsearch.__file__).parent
KINDS = {"binary", "multiclass", "multilabel", "regression", "classification"}
TASKS = {"TextClassification", "ImageClassification", "TextRegression", "ImageRegression"}
MAKERS = {"__init__.py", "estimator/inputs.py"}
"""Who names tasks to export or to make them."""

OUTSIDE = [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] != "tasks"]


def questions(tree: ast.Module) -> Iterator[str]:
    """Yield what asks for a kind of targets or of task: an attribute, a comparison or lookup of names, an instance."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=owner, attr="kind") if not ast.unparse(owner).endswith("dtype"):
                yield ast.unparse(node)
            case ast.Name(id="TargetKind") | ast.alias(name="TargetKind"):
                yield "TargetKind"
            case ast.Compare(comparators=[*others], left=left):
                parts = [part for side in (left, *others) for part in ast.walk(side)]
                if any(isinstance(part, ast.Constant) and part.value in KINDS | TASKS for part in parts):
                    yield ast.unparse(node)
            case ast.Dict(keys=keys):
                if any(isinstance(key, ast.Constant) and key.value in KINDS | TASKS for key in keys):
                    yield ast.unparse(node)
            case ast.Call(func=ast.Name(id="isinstance"), args=[_, of]) if any(
                name in ast.unparse(of) for name in TASKS
            ):
                yield ast.unparse(node)


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nobody_outside_of_tasks_asks_for_a_kind(path: Path) -> None:
    found = list(questions(ast.parse(path.read_text("utf-8"))))
    if str(path.relative_to(PACKAGE)) in MAKERS:
        found = [question for question in found if not question.startswith(("isinstance", "{"))]
    assert found == []


def test_the_search_for_questions_finds_them() -> None:
    asking = (
        "if prepared.kind == 'multilabel': pass\nTABLE = {'TextClassification': 1}\nisinstance(task, TextRegression)\n"
        "from x import TargetKind\nif mode in ('regression', other): pass"
    )
    assert len(list(questions(ast.parse(asking)))) == 6
    assert list(questions(ast.parse("array.dtype.kind\nnp.argsort(x, kind='stable')\nf(task='regression')"))) == []


def test_predictions_of_parts_are_joined_and_those_of_no_part_are_not_numbers() -> None:
    judge = ClassJudge("binary", ("a", "b"))
    parts = [(np.array([0, 2]), np.array([[0.2, 0.8], [0.4, 0.6]])), (np.array([2]), np.array([[0.6, 0.4]]))]
    joined = judge.joined(4, parts)
    assert joined.tolist()[0] == [0.2, 0.8]
    np.testing.assert_allclose(joined[2], [0.5, 0.5])
    assert np.isnan(joined[[1, 3]]).all()
    assert joined.shape == (4, 2)
    assert judge.joined(2, []).shape == (2, 2)
