"""What a study keeps of its rows is taken back only where it is what was kept."""

from pathlib import Path
from typing import Any

import pytest
from toy_task import ToyTask

from hpsearch.plan.stored_rows import OWN, keep_targets, kept_rows, stored_rows


@pytest.mark.parametrize(
    "judge",
    [
        {"class": "hpsearch.records.types:Slot", "fields": {"index": 0, "devices": {"tuple": ["cpu"]}}},
        {"class": "subprocess:Popen", "fields": {"args": ["true"]}},
        {"class": "no_such_module:Judge", "fields": {}},
        "a text",
    ],
)
def test_only_a_judge_is_one(tmp_path: Path, judge: Any) -> None:
    prepared = ToyTask().prepare(tmp_path / "cache")
    keep_targets(prepared, tmp_path / "targets")
    kept = kept_rows({OWN: prepared})
    assert kept is not None
    rows = stored_rows(kept, tmp_path / "targets")
    assert rows is not None
    assert rows[OWN].judge == prepared.judge
    assert stored_rows({OWN: {**kept[OWN], "judge": judge}}, tmp_path / "targets") is None
