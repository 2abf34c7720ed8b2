"""Memory stays flat however many trials a study has: in its workers, in its coordinator, and inline."""

import json
from pathlib import Path
from typing import Any

import pytest
from study_processes import Launcher
from tasks_samples import review_rows, save_text_model

TRIALS, WARM = 100, 20
MEGABYTE = 1 << 20
GROWTH = 10 * MEGABYTE
"""What 80 trials may add once 20 have warmed everything up. The text model has 2 MB of weights and 4 MB of optimizer
state, so that one in twenty of them left behind would be noticed; what was seen is 0.2 to 1.5 MB."""


def measured(launcher: Launcher, folder: Path, devices: str | int, **more: Any) -> list[dict[str, Any]]:
    """Return what `measure_memory` printed, a row a trial."""
    process = launcher.launch(
        "measure_memory", {"HPSEARCH_CACHE": str(folder / "cache")},
        folder=str(folder), devices=devices, trials=TRIALS, sampler="random", cv=2, evaluations_per_epoch=1, **more,
    )  # fmt: skip
    assert process.wait(500) == 0, process.text()
    rows = [line.removeprefix("memory ") for line in process.text().splitlines() if line.startswith("memory ")]
    found = [json.loads(row) for row in rows]
    assert [row["trial"] for row in found] == list(range(TRIALS))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "devices"),
    [
        ("toy", "inline"),
        pytest.param("toy", 1, marks=pytest.mark.extended),
        pytest.param("text", 1, marks=pytest.mark.long),
    ],
)
def test_memory_is_flat_over_a_hundred_trials(
    launcher: Launcher, tmp_path: Path, task: str, devices: str | int
) -> None:
    arguments = {}
    if task == "text":
        review_rows(24).to_csv(tmp_path / "train.csv", index=False)
        model = save_text_model(tmp_path / "bert", hidden_size=128, intermediate_size=256)  # 2 MB of weights
        arguments = {"kind": "text", "model": str(model), "train": str(tmp_path / "train.csv")}
    rows = measured(launcher, tmp_path, devices, task=arguments)
    workers = [row["workers"] for row in rows]
    assert len(workers[0]) == (devices == 1)
    assert all(each.keys() == workers[0].keys() for each in workers)  # the same process from first to last
    growth = {"here": rows[-1]["here"] - rows[WARM]["here"]}
    growth |= {pid: workers[-1][pid] - workers[WARM][pid] for pid in workers[0]}
    sizes = {"here": rows[-1]["here"], **workers[-1]}
    for name, bytes_more in growth.items():
        print(f"{task}, {devices}, {name}: {sizes[name] / MEGABYTE:.0f} MB, {bytes_more / MEGABYTE:+.1f} MB")
        assert bytes_more < GROWTH
