"""The judge is the only one who knows what targets are: nobody outside of hpsearch/tasks asks."""

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import hpsearch
from hpsearch.tasks.classes.judge import ClassJudge

PACKAGE = Path(hpsearch.__file__).parent
KINDS = {"binary", "multiclass", "multilabel", "regression", "classification", "classifier", "regressor"}
TARGETS = {"classes", "numbers"}
"""Also what facts and files call what they list, so a dictionary may have them as keys."""
TASKS = {"TextClassification", "ImageClassification", "TextRegression", "ImageRegression"}
JUDGES = {"ClassJudge", "NumberJudge"}
LISTS = {"classes", "classes_"}
"""Attributes that are empty or absent for some targets: whether they are there is a question of what these are."""
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
                is_named = any(
                    isinstance(part, ast.Constant) and part.value in KINDS | TARGETS | TASKS for part in parts
                )
                is_counted = any(map(_is_list, (left, *others))) and any(map(_is_fixed, (left, *others)))
                if is_named or is_counted:
                    yield ast.unparse(node)
            case ast.MatchValue(value=ast.Constant(value=value)) if value in KINDS | TARGETS | TASKS:
                yield ast.unparse(node)
            case ast.Dict(keys=keys):
                if any(isinstance(key, ast.Constant) and key.value in KINDS | TASKS for key in keys):
                    yield ast.unparse(node)
            case ast.Call(func=ast.Name(id="isinstance"), args=[_, of]) if any(
                name in ast.unparse(of) for name in TASKS | JUDGES
            ):
                yield ast.unparse(node)
            case ast.Call(func=ast.Name(id="hasattr" | "getattr"), args=[_, ast.Constant(value=name), *_]) if (
                name in LISTS
            ):
                yield ast.unparse(node)
        for condition in _conditions(node):
            if _is_list(condition):
                yield ast.unparse(condition)


def _conditions(node: ast.AST) -> list[ast.expr]:
    """Return the expressions whose truth a node asks for."""
    match node:
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test) | ast.Assert(test=test):
            return [test]
        case ast.BoolOp(values=values):
            return values
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return [operand]
        case ast.comprehension(ifs=tests):
            return tests
        case ast.Call(func=ast.Name(id="bool"), args=[argument]):
            return [argument]
    return []


def _is_list(node: ast.expr) -> bool:
    """Return whether this is such an attribute, or its length."""
    match node:
        case ast.Call(func=ast.Name(id="len"), args=[argument]):
            return _is_list(argument)
        case ast.Attribute(attr=name):
            return name in LISTS
    return False


def _is_fixed(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Tuple | ast.List) and not node.elts)


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nobody_outside_of_tasks_asks_for_a_kind(path: Path) -> None:
    found = list(questions(ast.parse(path.read_text("utf-8"))))
    if str(path.relative_to(PACKAGE)) in MAKERS:
        found = [question for question in found if not question.startswith(("isinstance", "{"))]
    assert found == []


def test_the_search_for_questions_finds_them() -> None:
    asking = """
if prepared.kind == 'multilabel': pass
TABLE = {'TextClassification': 1}
isinstance(task, TextRegression)
from x import TargetKind
if mode in ('regression', other): pass
if tags.estimator_type == 'classifier': pass
sizes = {'n_classes': 3} if judge.classes else {}
if not self.judge.classes or len(judge.classes): pass
found = hasattr(self, 'classes_') and judge.classes == ()
isinstance(judge, NumberJudge)
if self.targets != 'numbers': pass
match targets:
    case 'classes': pass
"""
    found = list(questions(ast.parse(asking)))
    lines = {line for line in asking.strip().splitlines() if any(question in line for question in found)}
    assert lines == set(asking.strip().splitlines()) - {"match targets:"}
    silent = """
array.dtype.kind
np.argsort(x, kind='stable')
f(task='regression')
def made(targets='classes'): pass
facts = {'classes': list(judge.classes)}
if len(counted.classes) > MOST: pass
"""
    assert list(questions(ast.parse(silent))) == []


def test_predictions_of_parts_are_joined_and_those_of_no_part_are_not_numbers() -> None:
    judge = ClassJudge("binary", ("a", "b"))
    parts = [(np.array([0, 2]), np.array([[0.2, 0.8], [0.4, 0.6]])), (np.array([2]), np.array([[0.6, 0.4]]))]
    joined = judge.joined(4, parts)
    assert joined.tolist()[0] == [0.2, 0.8]
    np.testing.assert_allclose(joined[2], [0.5, 0.5])
    assert np.isnan(joined[[1, 3]]).all()
    assert joined.shape == (4, 2)
    assert judge.joined(2, []).shape == (2, 2)
