import pytest

from hpsearch.errors import TaskError
from hpsearch.plan.checks import KEPT_BYTES, check_kept_outputs


def test_outputs_that_no_database_takes_are_found_and_the_error_says_what_to_do() -> None:
    check_kept_outputs(4096, KEPT_BYTES // 4096)
    check_kept_outputs(0, 10**9)
    words = (
        r"keep 204,800 bytes of the outputs of each of 2,000 held-out rows, 391 MiB in all, and the database takes "
        r"256 MiB\. Hold out at most 1,310 rows \(more folds, or cv=hp\.Holdout"
    )
    with pytest.raises(TaskError, match=words):
        check_kept_outputs(204_800, 2_000)
    with pytest.raises(TaskError):
        check_kept_outputs(4096, KEPT_BYTES // 4096 + 1)
