"""The seam of the pruners."""

from hpsearch.records import History, Trial


class Pruner:
    """When a trial is given up, and how far it may go before it has to wait for a promotion.

    Both are pure functions of History. A pruner that only ends trials leaves `limit` as it is, one that only lets them
    wait `reason_to_prune`.
    """

    def reason_to_prune(self, history: History, trial: Trial) -> str | None:
        """Return why the trial should end now, in words, or None when it should go on."""
        return None

    def limit(self, history: History, trial: Trial, *, closing: bool) -> int | None:
        """Return the step of the axis that the trial may go to for now, or None when it may go to its end.

        Args:
            history: Everything so far.
            trial: An unfinished trial of it.
            closing: Whether no further trials are coming, so that nobody else can reach a rung.
        """
        return None

    def reason_to_wait(self, history: History, trial: Trial, limit: int) -> str:
        """Say why the trial waits at its limit; when nothing can promote it any more, it is pruned for that reason."""
        return f"not promoted after step {limit}"
