from pathlib import Path
from typing import Any, ClassVar

import pytest
from tasks_samples import WORDS, review_rows, save_base, save_text_model, save_tokenizer
from toy_task import ToyTask

import hpsearch as hp
from hpsearch.errors import TaskError
from hpsearch.tasks.choices import ModelChoices, canonical_choices


class CountingTask(hp.TextClassification):
    """Counts how often rows are read."""

    reads: ClassVar[list[str]] = []

    def _read(self, source: Any, role: Any) -> Any:
        self.reads.append(role)
        return super()._read(source, role)


def space_of(*models: str) -> hp.Space:
    return hp.Space(model=hp.Categorical(list(models)))


def choices_of(task: hp.TextClassification, *models: str) -> ModelChoices:
    found = ModelChoices.of(task, space_of(*models))
    assert found is not None
    return found


def test_a_space_without_a_model_leaves_it_to_the_task(tmp_path: Path) -> None:
    task = hp.TextClassification("a/b", train=review_rows())
    assert ModelChoices.of(task, hp.Space(learning_rate=hp.Float(0.1, 1.0))) is None
    assert ModelChoices.of(ToyTask(), space_of("a/b")) is None
    fixed = ModelChoices.of(task, hp.Space(model="c/d"))
    assert fixed is not None
    assert (fixed.sources, fixed.default) == ({"c/d": "c/d"}, "c/d")


def test_a_folder_is_resolved_when_the_study_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here" / "bert").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    found = choices_of(hp.TextClassification("bert", train=review_rows()), "a/b", "bert")
    assert found.sources == {"a/b": "a/b", "bert": str(tmp_path / "here" / "bert")}
    assert found.default == "bert"
    monkeypatch.chdir(tmp_path)
    elsewhere = choices_of(hp.TextClassification(tmp_path / "here" / "bert", train=review_rows()), "a/b", "bert")
    assert elsewhere.default == "a/b"  # "bert" is no folder here
    assert elsewhere.found_at(found.sources) == found
    gone = {"a/b": "a/b", "bert": str(tmp_path / "gone")}
    assert elsewhere.found_at(gone) == elsewhere


def test_rows_are_read_once_whatever_the_number_of_models(tmp_path: Path) -> None:
    save_text_model(tmp_path / "one")
    save_base("distilbert", tmp_path / "two")
    save_tokenizer(tmp_path / "two", words=tuple(reversed(WORDS)))
    task = CountingTask(tmp_path / "one", train=review_rows(), test=review_rows(8, seed=1))
    names = [str(tmp_path / "one"), str(tmp_path / "two")]
    CountingTask.reads.clear()
    prepared = choices_of(task, *names).prepare(task, tmp_path / "cache")
    assert CountingTask.reads == ["train", "test"]
    for name in names:
        assert prepared[name] == task.choosing(name).prepare(tmp_path / "cache")
        assert prepared[name].source == name
    assert prepared[names[0]].folder != prepared[names[1]].folder


def test_models_of_equal_content_are_one(tmp_path: Path) -> None:
    for name in ("one", "twin"):
        save_text_model(tmp_path / name)
    save_text_model(tmp_path / "other", num_hidden_layers=2)
    names = [str(tmp_path / name) for name in ("one", "other", "twin")]
    task = hp.TextClassification(names[2], train=review_rows())
    prepared = choices_of(task, *names).prepare(task, tmp_path / "cache")
    assert list(prepared) == [names[2], names[0], names[1]]  # the default first
    assert canonical_choices(prepared) == {names[2]: names[2], names[0]: names[2], names[1]: names[1]}


def test_a_task_without_a_choice_of_models_has_none() -> None:
    with pytest.raises(TaskError, match="ToyTask has no choice of pretrained models, so 'a' cannot be chosen"):
        ToyTask().choosing("a")
    assert ToyTask().base_key({"model": "a"}) == ""


def test_a_config_need_not_name_a_model() -> None:
    task = hp.TextClassification("a/b", train=review_rows())
    assert "model" not in task.complete({"learning_rate": 1e-4})
    assert task.complete({"model": Path("c")})["model"] == "c"
    assert (task.base_key({}), task.base_key({"model": "c"})) == ("", "c")
    for wrong in (None, 3, ""):
        with pytest.raises(TaskError, match="cannot be trained with; it must be the path of a folder, or a name"):
            task.complete({"model": wrong})
