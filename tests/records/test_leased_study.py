"""A study on a server whose coordinator is busy for longer than its lease lasts: nobody takes it over."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from database_servers import Server
from toy_studies import toy_study
from toy_task import ToyTask

from hpsearch.errors import LeaseHeldError
from hpsearch.records import TrialState, leased_study
from hpsearch.records.lease import RowLease
from hpsearch.records.store import Store

LIFETIME = 4.0


def test_a_coordinator_that_loads_a_model_for_longer_than_its_lease_lasts_keeps_its_study(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leased_study, "RowLease", partial(RowLease, lifetime=LIFETIME))
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    refused: list[str] = []

    class FromFarAway(ToyTask):
        def learner(self, prepared: Any, split: str = "train") -> Any:
            if not refused:
                time.sleep(1.5 * LIFETIME)
                with Store.open(server.url(), "toy") as other, pytest.raises(LeaseHeldError) as told:
                    other.acquire()
                refused.append(str(told.value))
            return super().learner(prepared, split)

    study = toy_study(tmp_path / "runs", storage=server.url())
    study.plan.task = FromFarAway()
    try:
        study.run(trials=1, devices="inline", progress=False)
        assert len(refused) == 1
        assert [trial.state for trial in study.store().reload().trials.values()] == [TrialState.COMPLETE]
    finally:
        study.store().close()
