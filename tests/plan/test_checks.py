"""What cannot be run is found before anything is written."""

from pathlib import Path

import pytest
from toy_studies import toy_study

import hpsearch as hp
from hpsearch.errors import TaskError
from hpsearch.plan import checks
from hpsearch.plan.checks import KEPT_BYTES, RUN_BYTES, check_kept_outputs


def test_outputs_that_fit_pass() -> None:
    check_kept_outputs(4096, KEPT_BYTES // 4096, RUN_BYTES // KEPT_BYTES)
    check_kept_outputs(0, 10**9, 10**6)


def test_outputs_of_an_evaluation_that_are_too_large_are_refused_with_their_size_and_a_remedy() -> None:
    with pytest.raises(TaskError, match=r"204,800 bytes .* 2,000 held-out rows, 391 MiB in all, .* takes 256 MiB"):
        check_kept_outputs(204_800, 2_000, 1)
    with pytest.raises(TaskError, match=r"Hold out fewer rows \(more folds, or cv=hp.Holdout with a smaller share\)"):
        check_kept_outputs(4096, KEPT_BYTES // 4096 + 1, 1)


def test_outputs_of_a_run_that_are_too_large_are_refused_with_their_size_and_a_remedy() -> None:
    with pytest.raises(TaskError, match=r"A run of 9 evaluation points .* at each, 2.2 GiB in all, .* may keep 2 GiB"):
        check_kept_outputs(4096, KEPT_BYTES // 4096, RUN_BYTES // KEPT_BYTES + 1)
    with pytest.raises(TaskError, match=r"evaluate less often \(evaluations_per_epoch=\)"):
        check_kept_outputs(400, 50_000, 400)


@pytest.mark.parametrize("epochs", [3, hp.Int(1, 3), hp.Categorical([1, 3])])
def test_the_longest_run_of_the_space_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: object) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    space = hp.Space(learning_rate=1e-3, batch_size=8, epochs=epochs)
    study = toy_study(tmp_path, {"rows": 60}, space=space, cv=3, evaluations_per_epoch=4)
    needed = 3 * 4 * 20 * 12  # epochs, points an epoch, rows of a fold, bytes of three classes
    monkeypatch.setattr(checks, "RUN_BYTES", needed)
    checks.check_models(study.plan, ())
    monkeypatch.setattr(checks, "RUN_BYTES", needed - 1)
    with pytest.raises(TaskError, match="A run of 12 evaluation points would keep 12 bytes"):
        checks.check_models(study.plan, ())
