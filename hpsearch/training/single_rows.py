"""Batches of one row: some models cannot be trained on them, for batch normalization has nothing to average."""

from hpsearch.errors import TaskError
from hpsearch.training.base_model import BaseModel
from hpsearch.training.freezing import Freezing


def joins_single(base: BaseModel, freezing: Freezing, rows: int, batch_size: int, micro_batch: int | None) -> bool:
    """Return whether a run's batches and micro-batches of one row are to join the ones before them.

    They are where there are such and the model refuses them; it is tried on one only then. All others keep their
    batches.

    Args:
        base: Its model is made ready for the run.
        freezing: What of it is frozen: frozen batch normalization takes single rows.
        rows: Training rows.
        batch_size: Rows of a batch.
        micro_batch: Rows that pass through the model at once, or None for the whole batch.

    Raises:
        TaskError: It refuses them, and there is nothing else.
    """
    batches = {min(batch_size, rows), rows % batch_size}
    sizes = {part for size in batches for part in (min(micro_batch or size, size), size % (micro_batch or size or 1))}
    if 1 not in sizes | batches or not base.refuses_single_rows(freezing):
        return False
    reasons = {
        f"batch_size={batch_size}": batch_size == 1,
        "only one row fits on the device at once": micro_batch == 1,
        "there is one training row": rows == 1,
    }
    for reason, is_so in reasons.items():
        if is_so:
            raise TaskError(
                f"{type(base.model).__name__} cannot be trained on one row at a time, as batch normalization needs "
                f"several values to average, and {reason}. Give batch_size=2 or more, and as many rows; or freeze its "
                "layers."
            )
    return True
