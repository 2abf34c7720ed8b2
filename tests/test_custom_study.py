"""Studies of custom tasks from beginning to end: searched architectures, resumption, what is exported and loaded."""

import json
import shutil
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from custom_samples import Images, Items, Sounds, focal, images, load_images, sounds

import hpsearch as hp
from hpsearch.errors import StudyChangedError, TaskError
from hpsearch.study_loading import read

SPACE = hp.Space(
    learning_rate=hp.Float(1e-3, 3e-2, log=True), width=hp.Categorical([2, 3, 5]), depth=hp.Int(1, 2), epochs=2,
    batch_size=8,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))


def made(folder: Path, task: hp.CustomTask | None = None, **settings: object) -> hp.Study:
    default = {"width": 3, "learning_rate": 3e-3}
    task = task or hp.CustomTask(
        Images, train=Items(*images(30)), test=images(12, seed=1), loss=focal, literature_default=default
    )
    given = {"space": SPACE, "sampler": "random", "cv": 2, "pruner": "none", "metric": "accuracy", **settings}
    return hp.Study("custom", task, folder=folder, precision="fp32", **given)


def run(study: hp.Study, trials: int, devices: object = "inline") -> hp.Result:
    return study.run(trials=trials, devices=devices, progress=False)


def shown(result: hp.Result) -> pd.DataFrame:
    return result.table().drop(columns="seconds")


def test_a_study_gone_on_with_trial_by_trial_is_the_study(tmp_path: Path) -> None:
    """Models of several makes take turns on a worker, and are made anew by each process that goes on."""
    straight = run(made(tmp_path / "straight"), 5)
    assert len({(trial.config["width"], trial.config["depth"]) for trial in straight.history.trials.values()}) > 2

    study = made(tmp_path / "broken")
    for count in range(1, 6):
        study = hp.load("custom", folder=tmp_path / "broken") if count > 1 else study
        result = run(study, count)
    pd.testing.assert_frame_equal(shown(result), shown(straight))
    for number in range(5):
        assert np.array_equal(straight.out_of_fold(number), result.out_of_fold(number))
    assert result.test_scores() == straight.test_scores()


def test_two_workers_find_what_one_finds(tmp_path: Path) -> None:
    alone, both = run(made(tmp_path / "alone"), 4), run(made(tmp_path / "both"), 4, devices=2)
    pd.testing.assert_frame_equal(shown(both), shown(alone))


def test_an_exported_model_scores_what_is_recorded(tmp_path: Path) -> None:
    result = run(made(tmp_path), 2)
    folder = result.export(tmp_path / "model")
    facts = json.loads((folder / "hpsearch.json").read_text())
    card = (folder / "README.md").read_text()
    assert "library_name: pytorch" in card and "base_model" not in card and "Images, trained to tell 3 classes" in card
    code = card.partition("```python\n")[2].partition("```")[0]
    assert f"model = Images(width={facts['config']['width']}, depth={facts['config']['depth']}" in code
    names: dict[str, object] = {}
    exec(code.replace("path/to/this/folder", str(folder)), names)
    inputs, targets = images(12, seed=1)
    with torch.no_grad():
        logits = names["model"](torch.from_numpy(inputs.astype(np.float32)))  # type: ignore[operator]
    accuracy = float((logits.argmax(dim=1).numpy() == targets).mean())
    assert accuracy == facts["test"]["metrics"]["accuracy"] == result.test_scores()["accuracy"]
    loss = float(focal(logits, torch.from_numpy(targets)).double().mean())
    assert loss == pytest.approx(facts["test"]["metrics"]["loss"], rel=1e-6)


def test_report_and_evidence_are_as_for_other_tasks(tmp_path: Path) -> None:
    result = run(made(tmp_path), 3)
    assert result.evidence() is not None
    page = result.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "CustomTask of Images" in page


def test_rows_of_a_function_are_read_again_and_others_kept(tmp_path: Path) -> None:
    run(made(tmp_path, hp.CustomTask(Images, train=load_images)), 1)
    assert not list((tmp_path / "custom").glob("data/*"))
    assert len(run(hp.load("custom", folder=tmp_path), 2).history.trials) == 2
    space = hp.Space(width=hp.Int(2, 4), epochs=1, batch_size=8)
    run(made(tmp_path / "kept", hp.CustomTask(Sounds, train=sounds()), space=space), 1)
    shutil.move(tmp_path / "kept" / "custom", tmp_path / "moved")
    assert len(run(hp.load(tmp_path / "moved"), 2).history.trials) == 2
    assert not (tmp_path / "kept" / "custom").exists()


def test_what_a_factory_reads_is_part_of_it_and_what_it_changes_is_not(tmp_path: Path) -> None:
    settings, made_so_far = types.SimpleNamespace(drop=0.0), []

    def model(width: int = 2, depth: int = 1) -> torch.nn.Module:
        made_so_far.append(width)
        return Images(width, depth, drop=settings.drop)

    result = run(made(tmp_path, hp.CustomTask(model, train=images(30))), 1)
    assert "make_model= changes made_so_far when it is called" in " ".join(result.plan.warnings)
    assert len(run(made(tmp_path, hp.CustomTask(model, train=images(30))), 2).history.trials) == 2
    settings.drop = 0.5
    with pytest.raises(StudyChangedError, match=r"what make_model=model computes \(its code\)\. Give"):
        run(made(tmp_path, hp.CustomTask(model, train=images(30))), 3)


def test_code_of_a_script_is_asked_for_where_it_is_needed_and_watched(tmp_path: Path) -> None:
    def model(width: int = 2, depth: int = 1) -> torch.nn.Module:
        return Images(width, depth)

    def other(width: int = 2, depth: int = 1) -> torch.nn.Module:
        return Images(width, depth, drop=0.5)

    before = run(made(tmp_path, hp.CustomTask(model, train=images(30))), 1)
    assert read("custom", folder=tmp_path).description.needs_its_script
    found = hp.load("custom", folder=tmp_path)
    assert found.result.text() == before.text()  # reading needs none
    assert found.result.content(with_test=True).task == before.content(with_test=True).task == "CustomTask of model"
    for needs_it in (lambda: run(found, 2), lambda: found.result.refit()):
        with pytest.raises(TaskError, match=r"'model', of which .* hp\.load\(name, task="):
            needs_it()
    again = hp.load("custom", folder=tmp_path, task=hp.CustomTask(model, train=images(30)))
    assert len(run(again, 2).history.trials) == 2
    with pytest.raises(StudyChangedError, match=r"what make_model=other computes \(its code\)\. Give"):
        run(made(tmp_path, hp.CustomTask(other, train=images(30))), 3)
    with pytest.raises(StudyChangedError, match="the training data"):
        run(made(tmp_path, hp.CustomTask(model, train=images(33))), 3)


def test_a_model_that_cannot_be_made_ends_its_trial_and_says_why(tmp_path: Path) -> None:
    def model(width: int = 2) -> torch.nn.Module:
        if width == 4:
            raise ValueError("four is no width")
        return Images(width)

    space = hp.Space(width=hp.Categorical([2, 4, 3]), epochs=1, batch_size=8)
    result = run(made(tmp_path, hp.CustomTask(model, train=images(30)), space=space, sampler="grid"), 3)
    failed = [number for number, trial in result.history.trials.items() if trial.config["width"] == 4]
    assert [result.history.trials[number].state.value for number in failed] == ["fail"]
    log = next((tmp_path / "custom" / "logs").glob("*.log")).read_text()
    assert "model(width=4) raises ValueError: four is no width" in log
