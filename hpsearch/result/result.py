"""The result of a study: the best trial, tables, figures, a report, and a model to take away."""

import contextlib
import logging
import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.analysis.aggregates import TrialSummary, best_trial, default_trial, summarize
from hpsearch.analysis.repeatability import disturbances
from hpsearch.display.waiting import waiting_for
from hpsearch.errors import HpsearchError, LeaseHeldError, UsageError
from hpsearch.plan.plan import Plan
from hpsearch.plan.record import Record
from hpsearch.records import History, Trial, TrialState, digest
from hpsearch.result.best import Best, best_of

if TYPE_CHECKING:
    import numpy as np
    import pandas

    from hpsearch.analysis.significance import Evidence
    from hpsearch.data.ragged import Rows
    from hpsearch.policy.budget import Ending
    from hpsearch.report import Content, Figures
    from hpsearch.runtime.refit import Refit

logger = logging.getLogger("hpsearch")


class Result:
    """The result of a study at the time this object was made. Nothing here changes the study's trials.

    Attributes:
        disturbances: What another run of the same script may lack, one sentence each: a trial that ran out of memory, a
            limit on time, trials added later. Empty where the study decides on arrival.
    """

    def __init__(self, plan: Plan, record: Record, study: Any = None, history: History | None = None) -> None:
        self.study = study  # for its user; nothing here asks it
        self.plan = plan
        self.record = record
        self.history: History = record.store.reload() if history is None else history
        self.disturbances: list[str] = disturbances(record.store.entries, self.history)
        self._judged: dict[tuple[int, int], Evidence] = {}

    # ------------------------------------------------------------------ numbers

    @cached_property
    def best(self) -> Best:
        """The best trial.

        Raises:
            UsageError: No trial is complete.
        """
        trial = best_trial(self.history)
        if trial is None:
            raise UsageError(
                f"No trial of {self.plan.name!r} is complete yet ({len(self.history.trials)} started), so there is no "
                "best one. Run more trials, or see in result.table() why trials ended."
            )
        return best_of(self.summary(trial.number), trial, self.history, self._objective)

    @property
    def default(self) -> TrialSummary | None:
        """The trial of the literature default, or None where the space and the task name none."""
        trial = default_trial(self.history)
        return None if trial is None else self.summary(trial.number)

    def summary(self, number: int) -> TrialSummary:
        """Return one trial in numbers."""
        return summarize(self._trial(number), self.history, self._objective, self.plan.test_shares)

    def table(self) -> "pandas.DataFrame":
        """Return one row per trial: state, value, spread, interval, configuration, metrics, reason, note.

        What was warned of when the study was run is in its `attrs["warnings"]`, `disturbances` in the same way.
        """
        from hpsearch.analysis.table import table

        frame = table(self.history, self._objective, self.plan.test_shares)
        frame.attrs |= {"warnings": self.record.description.every_warning, "disturbances": list(self.disturbances)}
        return frame

    def curves(self) -> "pandas.DataFrame":
        """Return every evaluation of every metric in long form: one row per trial, fold, repeat, point and metric."""
        from hpsearch.analysis.table import curves

        return curves(self.history)

    def out_of_fold(self, number: int | None = None) -> "np.ndarray":
        """Return out-of-fold predictions of a complete trial (the best by default).

        Each training row, and validation row behind them, is predicted by the model that was not trained on it, at the
        trial's own evaluation point, averaged where a row is held out more than once.

        Returns:
            float64, the first axis the rows: probabilities of shape (rows, classes or labels), or whatever the task's
            judge predicts; not a number for rows that no fold holds out.

        Raises:
            UsageError: The trial is not complete.
        """
        trial = self._trial(self.best.number if number is None else number)
        if trial.state is not TrialState.COMPLETE or trial.point is None:
            raise UsageError(
                f"Trial {trial.number} is {trial.state.value}: only complete trials predict every row. {self._which()}"
            )
        rows, pairs = self.plan.rows, self.plan.folds.pairs
        parts = []
        for run in trial.runs:
            kept = self.record.store.predictions(run.key, trial.point)
            if kept is not None:
                parts.append((pairs[run.fold][1], rows.judge.predictions(kept)))
        return rows.judge.joined(rows.rows, parts)

    def evidence(self) -> "Evidence | None":
        """Answer the question fixed beforehand: does the winner beat the literature default?

        On the test rows, where the task has some: both configurations are trained once on all training rows and
        compared by a paired bootstrap over rows. Otherwise over the folds that chose the winner, corrected for
        their overlap. That still favours the winner, and the method says so.

        Returns:
            The evidence, or None where there is no complete default, or the default is the winner. Where the
            objective is undefined on the test rows, it is that of the folds.
        """
        from hpsearch.analysis.pairing import winner_against_default

        on_folds = winner_against_default(self.history, self._objective, self.plan.test_shares)
        if on_folds is None or self.plan.rows.test_rows == 0:
            return on_folds
        assert self.default is not None
        asked = (self.best.number, self.default.number)
        if any(math.isnan(self.test_scores(number)[self._objective]) for number in asked):
            return on_folds
        if asked not in self._judged:  # thousands of resamples, each scored twice: seconds
            self._judged[asked] = self._on_test_rows(*asked)
        return self._judged[asked]

    # ------------------------------------------------------------------ on rows never searched

    def refit(self, number: int | None = None) -> "Refit":
        """Train a complete trial's configuration (the best by default) on all training rows, up to its own point."""
        from hpsearch.runtime.refit import refit
        from hpsearch.runtime.study_run import workload_of

        trial = self._complete(number)
        assert trial.point is not None
        with waiting_for("Preparing rows and models"):
            self.record.require_trainable()
        workload = workload_of(self.plan, self.record.numerics(trial.fit))
        return refit(workload, self.plan.complete(trial.config), trial.point)

    def test_scores(self, number: int | None = None) -> Mapping[str, float]:
        """Return a trial's scores on the test rows, after a refit (the best trial's by default).

        Each configuration is scored once; the scores are stored with the study. A metric that is undefined on them is
        NaN.

        Raises:
            UsageError: The task has no test rows.
        """
        return self._tested(self._complete(number))[0]

    def _tested(self, trial: Trial, refit: "Refit | None" = None) -> "tuple[Mapping[str, float], Rows]":
        """Return (scores, kept outputs) of the test rows, training and scoring only what was not scored before."""
        from hpsearch.data.ragged import from_bytes
        from hpsearch.runtime.refit import score
        from hpsearch.runtime.study_run import workload_of

        if self.plan.rows.test_rows == 0:
            raise UsageError(f"The task of {self.plan.name!r} has no test rows: give it test=... to score a model.")
        key = self._test_key(trial)
        stored = self.record.test_scores
        outputs = self.plan.folder / "test" / f"{key}.npy"
        if refit is None and key in stored and outputs.exists():
            return stored[key], from_bytes(outputs.read_bytes())
        if refit is None:
            self.record.require_writable()  # before the training
            refit = self.refit(trial.number)
        scores = score(workload_of(self.plan, self.record.numerics(trial.fit)), refit)
        is_kept = key in stored and outputs.exists()  # of an earlier refit, which on a GPU may be another
        if self.record.is_writable and not is_kept:
            self.record.write_outputs(outputs, scores.outputs)
            with contextlib.suppress(LeaseHeldError):  # the study is being run: its coordinator alone writes to it
                self.record.keep_test_scores(key, dict(scores.metrics))
        return scores.metrics, scores.outputs

    def _test_key(self, trial: Trial) -> str:
        """Return what a trial's scores on the test rows are kept under."""
        return digest([trial.runs[0].config, trial.point, self.record.refit_digest(trial)])

    def test_evidence(self, other: "Result") -> "Evidence":
        """Compare the best trial with another study's on the test rows, which both studies must share.

        Each of the two is trained once on all training rows, unless it was scored before.
        """
        return self._on_test_rows(self.best.number, other.best.number, other)

    def scores_by_fold(self) -> Mapping[tuple[int, int], float]:
        """Return (fold, repeat) to the objective of the best trial, at its own point."""
        trial = self.history.trials[self.best.number]
        return {
            (run.fold, run.repeat): self.history.of(run.key)[self.best.point - 1].metrics[self._objective]
            for run in trial.runs
            if self.history.point(run) >= self.best.point
        }

    def _on_test_rows(self, winner: int, rival: int, rival_of: "Result | None" = None) -> "Evidence":
        from hpsearch.analysis.significance import paired_bootstrap
        from hpsearch.data.dataset import open_dataset
        from hpsearch.data.ragged import rows_of

        judge = self.plan.rows.judge
        asked = ((self, winner), (rival_of or self, rival))
        kept = [result._tested(result._complete(number))[1] for result, number in asked]
        test = open_dataset(self.plan.rows.folder_of("test"))
        with waiting_for("Resampling the test rows"):
            return paired_bootstrap(
                self.plan.objective,
                rows_of(test.arrays, "targets"),
                judge.predictions(kept[0]),
                judge.predictions(kept[1]),
                sample_weight=test.get("weights"),
                units=judge.units(self.plan.rows.test_rows, test.get("groups")),
                seed=self.plan.seed,
                direction=self.plan.aim.direction,
            )

    def export(
        self, folder: str | Path, *, number: int | None = None, overwrite: bool = False, merge: bool = True
    ) -> Path:
        """Train the best configuration on all training rows, save it as transformers reads it; return the folder.

        The folder loads with `from_pretrained` and `pipeline`. Beside weights, tokenizer or processor and label
        names it has a model card (README.md) and hpsearch.json: configuration, cross-validated and test scores,
        fingerprints of the data, numerics. It is never half there. Before it is, it is loaded as a stranger would, and
        predicts some rows, one by one and in batches. Where it does not predict as it was scored, the log says so, and
        the model card states no score.

        Args:
            folder: Where the model goes.
            number: A complete trial other than the best.
            overwrite: Replace an earlier export that is there. No other folder is ever replaced.
            merge: Add adapters to the weights, so that the folder loads like any other; False writes them alone.

        Raises:
            UsageError: The folder exists and may not be replaced, no trial is complete, or it has no adapters.
            StoreError: The disk cannot be written.
        """
        from hpsearch.result.export import ExportFolder, check_merge, save_trained
        from hpsearch.result.model_card import write_card
        from hpsearch.result.read_back import read_back
        from hpsearch.runtime.study_run import workload_of

        target, trial = ExportFolder(folder, self.plan.folder, overwrite=overwrite), self._complete(number)
        check_merge(self.plan, trial.config, trial.number, merge=merge)
        target.make_parent()  # what the disk refuses is found before the training
        refit = self.refit(trial.number)
        metrics, kept = self._tested(trial, refit) if self.plan.rows.test_rows else (None, None)
        with target.writing() as partial:
            save_trained(self.plan, refit, partial, merge=merge)
            check = read_back(workload_of(self.plan, self.record.numerics(trial.fit)), refit, partial, kept)
            write_card(partial, self.plan, self.record, self.summary(trial.number), refit, metrics, check)
        if check is not None and not check.agrees:
            logger.warning("%s", check.text())
        return Path(folder)

    # ------------------------------------------------------------------ looks

    @property
    def figures(self) -> "Figures":
        """The plots, one method each; each returns a plotly figure."""
        from hpsearch.report import Figures

        return Figures(self.content(with_test=False))

    def report(self, path: str | Path = "report.html") -> Path:
        """Write the report: one self-contained page that opens offline.

        If the task has test rows and the study has ended, winner and default are trained once on all training rows
        and scored on the test rows; the scores are stored with the study. Before the end the page shows the folds
        only, so that nobody steers the search by test rows; call `test_scores` or `evidence` if you must know.
        Where they cannot be scored (the data are gone, the study may not be written to), the page says why.
        """
        from hpsearch.report import write_page

        return write_page(Path(path), self.content(with_test=True))

    @property
    def ended_by(self) -> "Ending | None":
        """What ended the last run: its `limit`, such as "trials", "timeout" or "target", and the `reason` in words.

        None while it runs, after an error, and in studies of earlier versions.
        """
        return self.record.description.ending

    @property
    def has_ended(self) -> bool:
        """Whether its budget ended the study, or it has as many trials as it was last run for, all of them ended."""
        if self.ended_by is not None and not self.ended_by.is_pause:
            return True
        goal = self.record.description.goal or {}
        return not self.history.unfinished() and len(self.history.trials) >= (goal.get("trials") or 1)

    def content(self, *, with_test: bool) -> "Content":
        """Return all that figures and the report show; test scores only once the study has ended."""
        from hpsearch.analysis.pairing import winner_against_default
        from hpsearch.result.reporting import report_content

        is_early = self.plan.rows.test_rows > 0 and not self.has_ended
        evidence, test_scores, not_done, out_of_fold = None, None, None, None
        if best_trial(self.history) is not None:
            out_of_fold = self.out_of_fold() if self.plan.rows.judge.keeps_predictions else None
            evidence = winner_against_default(self.history, self._objective, self.plan.test_shares)
            if with_test and not is_early:
                evidence, test_scores, not_done = self._on_test(evidence)
        return report_content(
            self.plan,
            self.record,
            self.history,
            evidence=evidence,
            test_scores=test_scores,
            test_is_to_come=with_test and is_early,
            not_done=not_done,
            out_of_fold=out_of_fold,
            disturbances=self.disturbances,
        )

    def _on_test(
        self, on_folds: "Evidence | None"
    ) -> "tuple[Evidence | None, Mapping[str, Mapping[str, float]] | None, str | None]":
        """Return (evidence, test scores, what could not be done and why).

        A study can be read without its data, its models and its script, which scoring anew needs.
        """
        scores = None
        try:
            scores = self._test_table()
            return self.evidence(), scores, None
        except HpsearchError as error:
            what = "The test rows could not be scored" if scores is None else "The test rows could not be compared"
            not_done = f"{what} here, so the verdict is over the folds: {error}"
            logger.warning("%s", not_done)
            return on_folds, scores, not_done

    def text(self) -> str:
        """Return the result as a terminal shows it: one row per trial, then the best one; `table()` has all columns."""
        from hpsearch.result.summary import outcome_text

        plan, stored = self.plan, self.record.description
        shares, searched = plan.test_shares, plan.space.parameters
        return outcome_text(
            self.history, self._objective, shares, searched, stored.every_warning, stored.pos_label, self.ended_by,
            self.disturbances,
        )  # fmt: skip

    def __repr__(self) -> str:
        complete = self.history.finished(TrialState.COMPLETE)
        best = f", best {self._objective} {self.best.value:.4f}" if complete else ""
        return f"<Result of {self.plan.name!r}: {len(self.history.trials)} trials, {len(complete)} complete{best}>"

    # ------------------------------------------------------------------ inside

    @property
    def _objective(self) -> str:
        return self.plan.objective.name

    def _complete(self, number: int | None) -> Trial:
        wanted = self.best.number if number is None else number
        trial = self._trial(wanted)
        if trial.state is not TrialState.COMPLETE:
            raise UsageError(
                f"Trial {wanted} is {trial.state.value}: only a complete trial can be trained on all rows. "
                f"{self._which()}"
            )
        return trial

    def _trial(self, number: int) -> Trial:
        trial = self.history.trials.get(number)
        if trial is None:
            raise UsageError(f"There is no trial {number!r} in {self.plan.name!r}. {self._which()}")
        return trial

    def _which(self) -> str:
        complete = [str(trial.number) for trial in self.history.finished(TrialState.COMPLETE)]
        return f"Choose one of the complete trials: {', '.join(complete) or 'there is none yet'}."

    def _test_table(self) -> "Mapping[str, Mapping[str, float]] | None":
        if self.plan.rows.test_rows == 0:
            return None
        scores = {"winner": self.test_scores()}
        default = self.default
        if default is not None and default.state is TrialState.COMPLETE and default.number != self.best.number:
            scores["literature default"] = self.test_scores(default.number)
        return scores
