"""How many different configurations a space has, and what is said where more trials are asked for."""

from pathlib import Path
from typing import Any

import pytest
from custom_samples import Images, images
from toy_studies import toy_study

import hpsearch as hp
from hpsearch.plan.distinct import distinct_configs, repetition

FIXED = {"epochs": 1, "batch_size": 8}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("parameters", "count"),
    [
        ({"learning_rate": hp.Categorical([1e-3, 1e-2])}, 2),
        ({"learning_rate": hp.Float(1e-3, 1e-2)}, None),
        ({"learning_rate": hp.Float(1e-3, 1e-2, grid=[1e-3, 1e-2])}, None),  # a grid alone takes no more
        ({"learning_rate": hp.Float(0.001, 0.003, step=0.001), "epochs": hp.Int(1, 2)}, 6),
        ({"learning_rate": hp.Float(1e-3, 1e-3)}, 1),
        ({"learning_rate": 1e-3}, 1),
        (
            {
                "lr_scheduler_type": hp.Categorical(["linear", "warmup_stable_decay"]),
                "decay_ratio": hp.Categorical([0.1, 0.2, 0.3]).when(lr_scheduler_type="warmup_stable_decay"),
            },
            4,
        ),
        (
            {
                "lr_scheduler_type": hp.Categorical(["linear", "warmup_stable_decay"]),
                "decay_ratio": hp.Float(0.1, 0.3).when(lr_scheduler_type="warmup_stable_decay"),
            },
            None,
        ),
        ({"max_grad_norm": hp.Categorical([1.0, 2.0, None])}, 3),
        ({"batch_size": hp.Int(1, 10**9)}, None),
    ],
)
def test_different_configurations_are_counted(tmp_path: Path, parameters: dict[str, Any], count: int | None) -> None:
    plan = toy_study(tmp_path, space=hp.Space(**{**FIXED, **parameters}), sampler="random").plan
    assert distinct_configs(plan, 100) == count
    if count is not None:
        assert distinct_configs(plan, count - 1) is None
        assert repetition(plan, count) is None
        assert f"has {count} different configurations and {count + 2} trials are asked for, so 2 or more" in str(
            repetition(plan, count + 2)
        )


def test_shares_that_stand_for_one_number_of_layers_are_one_configuration(tmp_path: Path) -> None:
    task = hp.CustomTask(lambda: Images(depth=2), train=images(), head=["head"])
    for freeze_layers in (hp.Float(0.0, 1.0), hp.Float(0.0, 1.0, step=0.01), hp.Categorical([0, 0.1, 0.5, 1.0])):
        space = hp.Space(freeze_layers=freeze_layers, learning_rate=hp.Categorical([1e-3, 1e-2]), **FIXED)
        plan = hp.Study("shares", task, space, cv=3, sampler="random", folder=tmp_path).plan
        layers = plan.prepared.layers
        assert layers is not None and layers >= 2
        numbers = {plan.complete({"freeze_layers": share / 100, **FIXED})["freeze_layers"] for share in range(101)}
        wanted = len(numbers) if not isinstance(freeze_layers, hp.Categorical) else None
        count = distinct_configs(plan, 100)
        assert count == 2 * wanted if wanted else count is not None and count <= 2 * len(numbers)


def test_trials_beyond_the_size_of_a_space_are_announced_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    space = hp.Space(learning_rate=hp.Categorical([1e-3, 1e-2]), **FIXED)
    study = toy_study(tmp_path, space=space, sampler="random", pruner="none")
    with caplog.at_level("WARNING", "hpsearch"):
        result = study.run(trials=6, devices="inline", progress=False)
    messages = [record.getMessage() for record in caplog.records]
    (ahead,) = [text for text in messages if text.startswith("The space has 2 different configurations and 6 trials")]
    assert "4 or more repeat an earlier one" in ahead and "trials=2" in ahead
    assert "The study's 6 trials are 2 different configurations; the others repeat one of them." in messages
    assert "6 trials, 2 different configurations: 4 repeat an earlier one." in result.text()
    page = result.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "2 in 6 trials" in page and "As the best of 2," in page
    assert result.history.repeats() == 4


def test_a_grid_ends_by_itself_and_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    space = hp.Space(learning_rate=hp.Categorical([1e-3, 1e-2]), **FIXED)
    with caplog.at_level("WARNING", "hpsearch"):
        toy_study(tmp_path, space=space, sampler="grid", pruner="none").run(trials=6, devices="inline", progress=False)
    assert not any("different configurations" in record.getMessage() for record in caplog.records)
