"""A search as a scikit-learn estimator, for users of `GridSearchCV`."""

import shutil
import tempfile
import time
import weakref
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from hpsearch.errors import UsageError
from hpsearch.estimator.checks import check_how_it_ended, groups_of, interrupted, seed_of, targets_of
from hpsearch.estimator.inputs import Texts, holds_text, inputs_of
from hpsearch.policy.budget import budget_of
from hpsearch.runtime.signals import NOTICE_PERIOD
from hpsearch.study import Study
from hpsearch.tasks.targets import targets_called

if TYPE_CHECKING:
    from hpsearch.result.result import Result

_OF_THIS_PROCESS = ("study_", "result_", "_removal")
"""Attributes that a pickle leaves out: files and databases that another process may not have."""


def _was_refit(search: "FineTuneSearchCV") -> bool:
    if not search.refit:
        raise AttributeError(
            "This FineTuneSearchCV was made with refit=False, so it has no model to predict with. Give refit=True."
        )
    return True


def _tells_probabilities(search: "FineTuneSearchCV") -> bool:
    if not targets_called(search.targets).has_probabilities:
        raise AttributeError(f"targets={search.targets!r} have no probabilities; use predict.")
    return _was_refit(search)


class FineTuneSearchCV(BaseEstimator):
    """Search the hyperparameters of a fine-tune, and predict with the winner.

    What X may be depends on the model. For a transformers model: texts, shape (rows,); pairs of texts, shape (rows, 2);
    or images, shape (rows, height, width) or (rows, height, width, channels). For a function or class that makes a
    torch module (see `CustomTask`): numbers of any shape (rows, ...); a table (rows, columns) becomes float32. If it
    has arguments `n_features` and `n_classes` (or `n_outputs`), they get the shape of X and y.

    Ctrl-C ends `fit` with KeyboardInterrupt, and nothing is refitted. For sample weights, use a `Study` of a task with
    sample_weight=. A pickle predicts without the model's folder or the hub, but needs the packages that it was made by.

    Args:
        model: A folder or hub name of a transformers model, or a function or class that makes a torch module.
        space: What is searched, as `Study` takes it: a `Space`, the name of a shipped one, or a path to a TOML file.
        pos_label: Of two classes the positive one, which metrics of one class ("f1", "average_precision") are of. None:
            1, True, "yes" and the like, beside 0, False, "no". A scorer's own `pos_label` stands.
        n_iter: Trials in all; None with sampler="grid" for all its points.
        targets: What y is: "classes" or "numbers", of which a row may have several.
        scoring: The objective: a scikit-learn scorer name or a callable. "auto" is "f1_macro" for classes, "r2" for
            numbers; None is what scikit-learn's own estimators score themselves by, "accuracy" or "r2".
        direction: "maximize" or "minimize" what `scoring` gives; None follows from it. An error function of your own
            needs "minimize".
        cv: Number of folds, a `Holdout`, or a scikit-learn splitter; None for 5.
        sampler: See `Study`, also for the next three.
        pruner: Pruned trials have the score nan in `cv_results_`.
        early_stopping: Epochs without improvement after which a fold stops.
        metrics: Further metrics in `cv_results_`.
        refit: Whether to train the winner on all rows, to predict with it.
        timeout: Seconds of the search, or text like "2h"; a warning says after how many trials it ended.
        budget: Further limits of the search, an `hp.Budget`; whichever comes first ends it, `n_iter` among them.
        devices: Where to train, as in `Study.run`; so are `trials_per_device` and `notice_period`.
        random_state: Seed of folds, runs and sampler, used unchanged. None is 0, so nothing here is random unless you
            ask. From a `numpy.random.RandomState` a seed is drawn at each `fit`.
        name: The study's name in `folder`.
        folder: Where the study is stored, so that an interrupted `fit` continues when you call it again with the same
            data. None: a temporary folder, deleted with the estimator. A folder holds one study per name, on one set of
            rows. So leave it None within `cross_val_score`: the second fold would raise a StudyChangedError.
        task_options: Further arguments of the task: {"max_length": 128}, image_size, loss, head, ...
        reproducible: Whether the same call gives the same `cv_results_`, whatever the workers, as in `Study`.
        verbose: Show the progress of the search.

    Attributes:
        best_params_: Searched hyperparameters of the winner.
        best_score_: Its cross-validated objective; greater is better, so what is to be minimised is negative.
        best_index_: Its row in `cv_results_`.
        best_model_: The `torch.nn.Module` that predicts, on the CPU. Of classes it gives logits. Numbers it gives in
            the units of y if its last step is a linear layer with a bias; else they are standardised, and
            `outputs * np.std(y, axis=0) + np.mean(y, axis=0)` has the units of y. There is no `best_estimator_`: this
            estimator predicts.
        refit_time_: Seconds of training the winner on all rows.
        scorer_: The objective, called as `scorer_(estimator, X, y)`.
        multimetric_: False: there is one objective; `metrics` are only recorded.
        cv_results_: Column to array, one row per trial, with the column names of `GridSearchCV`.
        classes_: The labels, sorted, where y is classes.
        n_splits_: Folds.
        n_features_in_: Columns of X, if X is a table of numbers; not set for texts, images or longer shapes.
        result_: The study's `Result`: table, figures, report, evidence, export. Not part of a pickle.

    Raises:
        UsageError: (A ValueError.) An argument or the data is not valid, or no trial was complete when its time was up
            or its budget spent.
        KeyboardInterrupt: By `fit`, at Ctrl-C; at SIGTERM and SIGUSR1 an `errors.Preempted`.
    """

    def __init__(
        self,
        model: Any,
        space: Any,
        *,
        targets: str = "classes",
        pos_label: Any = None,
        n_iter: int | None = 20,
        scoring: Any = "auto",
        direction: str | None = None,
        cv: Any = 5,
        sampler: Any = "bayesian",
        pruner: Any = "racing",
        early_stopping: Any = 1.0,
        metrics: Any = (),
        refit: bool = True,
        timeout: float | str | None = None,
        budget: Any = None,
        devices: Any = "auto",
        trials_per_device: Any = 1,
        notice_period: float | str = NOTICE_PERIOD,
        random_state: Any = None,
        name: str = "search",
        folder: str | Path | None = None,
        task_options: Mapping[str, Any] | None = None,
        reproducible: bool = True,
        verbose: bool = False,
    ) -> None:
        self.model = model
        self.space = space
        self.targets = targets
        self.pos_label = pos_label
        self.n_iter = n_iter
        self.scoring = scoring
        self.direction = direction
        self.cv = cv
        self.sampler = sampler
        self.pruner = pruner
        self.early_stopping = early_stopping
        self.metrics = metrics
        self.refit = refit
        self.timeout = timeout
        self.budget = budget
        self.devices = devices
        self.trials_per_device = trials_per_device
        self.notice_period = notice_period
        self.random_state = random_state
        self.name = name
        self.folder = folder
        self.task_options = task_options
        self.reproducible = reproducible
        self.verbose = verbose

    def fit(self, X: Any, y: Any, *, groups: Any = None) -> Self:  # noqa: N803  (scikit-learn's name)
        """Search, and train the winner on all rows.

        Args:
            X: Rows, see the class.
            y: One target per row, for classes numbers or text, shape (rows,).
            groups: Groups, shape (rows,): rows of one group are never on both sides of a fold.
        """
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)  # a fit that fails leaves nothing of an earlier one
        if not isinstance(self.refit, bool):
            raise UsageError(f"refit={self.refit!r}: give True or False; the winner is that of the one objective.")
        rows = self._rows(X, y, reset=True)
        kind = targets_called(self.targets)
        scoring = kind.score if self.scoring is None else self.scoring
        targets = targets_of(y, len(rows), kind)
        self._inputs = inputs_of(rows, self.model, self.targets, self.task_options, self.pos_label)
        task = self._inputs.task(rows, targets, groups_of(groups, len(rows)))
        study = Study(
            self.name,
            task,
            self.space,
            sampler=self.sampler,
            cv=5 if self.cv is None else self.cv,
            metric=None if scoring == "auto" else scoring,
            direction=self.direction,
            metrics=self.metrics,
            pruner=self.pruner,
            early_stopping=self.early_stopping,
            seed=seed_of(self.random_state),
            folder=self._temporary_folder() if self.folder is None else self.folder,
            reproducible=self.reproducible,
        )
        study.plan.is_temporary = self.folder is None
        try:
            result = study.run(
                self.n_iter,
                timeout=self.timeout,
                budget=self.budget,
                devices=self.devices,
                trials_per_device=self.trials_per_device,
                progress=bool(self.verbose),
                notice_period=self.notice_period,
            )
        except KeyboardInterrupt as error:
            raise (interrupted(study, error) if study.was_interrupted else error) from None
        check_how_it_ended(result, budget_of(self.n_iter, self.timeout, self.budget))
        self.study_, self.result_ = study, result
        self._keep(result, targets)
        return self

    def _temporary_folder(self) -> str:
        """Return a new folder that is removed with the estimator, or when it is fitted again."""
        earlier: weakref.finalize[Any, Self] | None = getattr(self, "_removal", None)
        if earlier is not None:
            earlier()
        folder = tempfile.mkdtemp(prefix="hpsearch-")
        self._removal = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    def _rows(self, X: Any, y: Any = None, *, reset: bool) -> np.ndarray:  # noqa: N803
        """Return X as an array, checked as scikit-learn checks it where it is rows of numbers."""
        is_text = not callable(self.model) and holds_text(X) if reset else isinstance(self._inputs, Texts)
        if is_text:
            text = np.asarray(X, dtype=object)
            if text.ndim == 0:
                raise UsageError(f"X={X!r} is one text: give a list of them, [{X!r}].")
            return text
        checks: dict[str, Any] = {"dtype": "numeric", "ensure_min_samples": 2 if reset else 1, "allow_nd": True}
        checked = validate_data(self, X, reset=reset, **checks)
        if reset and checked.ndim != 2:
            del self.n_features_in_  # the height of images, say, which others may not have
        becomes_real = checked.ndim <= 2 or checked.dtype.kind == "f"  # a table of numbers, as scikit-learn has them
        array: np.ndarray = np.ascontiguousarray(checked, dtype=np.float32 if becomes_real else checked.dtype)
        return array

    def _keep(self, result: "Result", targets: np.ndarray) -> None:
        """Keep the result of the search under scikit-learn's names."""
        from hpsearch.estimator.results import Scorer, cv_results

        best = result.best
        self.multimetric_ = False
        self.cv_results_ = cv_results(result)
        self.n_splits_ = len(self.study_.folds.pairs)
        self.best_index_ = int(np.flatnonzero(self.cv_results_["trial"] == best.number)[0])
        self.best_params_ = dict(result.history.trials[best.number].params)
        self.best_score_ = result.plan.objective.direction.score(best.value)
        self.best_config_ = dict(best.config)
        self._task, self._prepared = self._chosen(best.config)
        self.scorer_ = Scorer(self.study_.objective, self._prepared.judge)
        self._no_targets = targets[:0]  # of y only the type and the shape are kept
        for name, value in self._prepared.judge.attributes(targets).items():
            setattr(self, name, value)
        if self.refit:
            self._encoder = self._inputs.encoder(self._task, self._prepared)
            started = time.perf_counter()
            refit = result.refit()
            self.best_model_, self._prepared = refit.model.cpu(), replace(self._prepared, judge=refit.judge)
            self.refit_time_ = time.perf_counter() - started

    def _chosen(self, config: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return the task and the prepared rows of a config, which may choose its pretrained model."""
        plan = self.study_.plan
        choice = plan.task.model_choice(config)
        if choice is None or plan.choices is None:
            return plan.task, plan.prepared_for(config)
        return plan.task.choosing(plan.choices.sources[choice]), plan.prepared_for(config)

    @available_if(_was_refit)
    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the likeliest label of each row, of the type of y; or the numbers predicted, in the shape of y."""
        predictions = self._predictions(X)
        return self._prepared.judge.answers(predictions, self._no_targets)

    @available_if(_tells_probabilities)
    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return probabilities, float64, shape (rows, classes), in the order of `classes_`."""
        return self._predictions(X)

    def _predictions(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return what the judge predicts of each row."""
        import torch

        from hpsearch.runtime.refit import honoured
        from hpsearch.training.numerics import detect_environment, resolve_numerics
        from hpsearch.training.prediction import predict

        check_is_fitted(self, "best_model_")
        rows, device = self._rows(X, reset=False), torch.device("cpu")
        self._inputs.check(rows)
        numerics = resolve_numerics(detect_environment(device), precision="fp32", attention=self._prepared.attention)
        with tempfile.TemporaryDirectory(prefix="hpsearch-") as scratch, honoured(numerics, device):
            prepared = self._inputs.prepared(self._encoder, self._prepared, rows, Path(scratch))
            learner = self._task.learner(prepared, "test", self._task.complete(self.best_config_))
            self._inputs.try_rows(learner, self.best_model_, self._encoder, rows)
            kept = predict(self.best_model_, learner, np.arange(len(rows)), numerics, device)
        predictions: np.ndarray = prepared.judge.predictions(learner.own_units(kept))
        return predictions

    @available_if(_was_refit)
    def score(self, X: Any, y: Any) -> float:  # noqa: N803
        """Return the objective of the search on other rows; greater is better, as everywhere in scikit-learn."""
        check_is_fitted(self, "best_model_")
        return self.scorer_(self, X, y)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        targets_called(self.targets).tag(tags)
        tags.input_tags.string = not callable(self.model)
        tags.input_tags.three_d_array = True
        tags.input_tags.two_d_array = callable(self.model)
        tags.non_deterministic = False
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name not in _OF_THIS_PROCESS}
