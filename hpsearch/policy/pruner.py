"""The public seam of the pruners: when a trial ends early, and how far it may go before it has to wait."""

from collections.abc import Mapping

from hpsearch.records import History, Trial


class Pruner:
    """A pruning rule. Subclass it for a rule of your own, and give an instance: `Study(pruner=Floor("rmse", 9.0))`.

        class Floor(hp.Pruner):
            def __init__(self, objective: str, floor: float) -> None:
                self.objective, self.floor = objective, floor

            def reason_to_prune(self, history, trial):
                score = history.direction.score  # of a measured value: higher is better, for errors too
                first_fold = history.of(trial.runs[0].key)  # its evaluations so far
                best = max((each.metrics[self.objective] for each in first_fold), key=score, default=self.floor)
                is_worse = score(best) < score(self.floor)
                return f"{self.objective} {best:.3f} is worse than {self.floor}" if is_worse else None

    Each method must decide from `history` alone, and say the same when it is asked again. Then a study that was stopped
    and resumed continues as if it had never stopped. Keep settings in the object, but no memory of earlier calls.

    `history.trials` maps numbers to trials. A trial has a `config`, a `state`, and one run per fold in `trial.runs`;
    `history.of(run.key)` gives the evaluations of a run, each with `metrics` by name. Pruners count in steps: step 1 is
    a quarter of the first fold, step 4 its end, step 5 a quarter of the second fold, and so on.
    `hpsearch.policy.pruning_steps.reports(history, trial, "f1_macro")` gives the steps that a trial has reached, with
    its mean over folds there. All values are as measured, so where the objective is minimized a lower one is better:
    `history.direction.score(value)` is greater for the better in either case. A pruner is never asked about the
    literature default, which always trains to its end.
    """

    @property
    def never_prunes(self) -> bool:
        """Whether `reason_to_prune` is None whatever happens: trials wait, and end, only where a segment ends."""
        return type(self).reason_to_prune is Pruner.reason_to_prune

    def reason_to_prune(self, history: History, trial: Trial) -> str | None:
        """Return why the trial should end now, in words, or None if it should continue.

        Asked whenever a trial has reached a step, except during the warmup of its learning rate.
        """
        return None

    def limit(self, history: History, trial: Trial, *, closing: bool) -> int | None:
        """Return the step that the trial may go to for now, or None when it may go to its end.

        There it waits, with a checkpoint, until a later answer lets it go further.

        Args:
            history: Everything so far.
            trial: An unfinished trial of it.
            closing: Whether no further trials are coming, so that no other trial can reach a step.
        """
        return None

    def limits_of_all(self, history: History, *, closing: bool) -> Mapping[int, int] | None:
        """Return the `limit` of every trial that has one, by number, where the rule works them all out at once.

        Optional: None says that it does not. Then each segment asks `limit` of every trial that waits.
        """
        return None

    def reason_to_wait(self, history: History, trial: Trial, limit: int) -> str:
        """Say why the trial waits at its limit; when nothing can promote it any more, it is pruned for that reason."""
        return f"not promoted after step {limit}"
