"""A search as a scikit-learn classifier, for those who think in `GridSearchCV`."""

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, check_random_state, column_or_1d, validate_data

from hpsearch.errors import UsageError
from hpsearch.estimator_inputs import inputs_of
from hpsearch.study import Study

if TYPE_CHECKING:
    from hpsearch.result import Result

_OF_THIS_PROCESS = ("study_", "result_", "_place")
"""Attributes that a pickle leaves out: files and databases that another process may not have."""


def _was_refit(search: "FineTuneSearchCV") -> bool:
    if not search.refit:
        raise AttributeError(
            "This FineTuneSearchCV was made with refit=False, so it has no model to predict with. Give refit=True."
        )
    return True


class FineTuneSearchCV(ClassifierMixin, BaseEstimator):
    """Search the hyperparameters of a fine-tune, and predict with the winner.

    What X may be follows from the model. For a model of transformers: texts, shape (rows,); pairs of texts, shape
    (rows, 2); or images, shape (rows, height, width) or (rows, height, width, channels). For a function or class that
    makes a torch module (see `CustomTask`): numbers of any shape (rows, ...), of which a table (rows, columns) comes as
    float32; its arguments `n_features` and `n_classes`, where it has them, are told the shape of X and y.

    Args:
        model: A folder or hub name of transformers, or what makes a torch module.
        space: What is searched, as `Study` takes it: a `Space`, the name of a shipped one, or a path to a TOML file.
        n_iter: Trials in all; None with sampler="grid" for all its points.
        scoring: The objective: a scikit-learn scorer name or a callable.
        cv: Number of folds, a `Holdout`, or a scikit-learn splitter.
        sampler: See `Study`, as for the following three.
        pruner: Pruned trials have no score in `cv_results_`, but nan.
        early_stopping: Epochs without improvement after which a fold stops.
        metrics: Further metrics in `cv_results_`.
        refit: Whether to train the winner on all rows, to predict with it.
        timeout: Seconds of `fit`, or text like "2h".
        devices: Where to train, as in `Study.run`.
        random_state: Seed of folds, runs and sampler; None is 0, so that nothing here is random unless you ask.
        name: The study's name in `folder`.
        folder: Where the study is kept, so that an interrupted `fit` goes on where it stood when called again with the
            same data. None: in a temporary folder, which goes when the estimator does.
        task_options: Further arguments of the task: max_length=, image_size=, loss=, head=, ...
        verbose: Show the progress of the search.

    Attributes:
        best_params_: Searched hyperparameters of the winner.
        best_score_: Its cross-validated objective.
        best_index_: Its row in `cv_results_`.
        best_model_: The `torch.nn.Module` that predicts, on the CPU.
        cv_results_: Column to array, a row a trial, named as those of `GridSearchCV`.
        classes_: The labels, sorted.
        n_splits_: Folds.
        n_features_in_: Columns of X, where it has two dimensions of numbers.
        result_: The study's `Result`: table, figures, report, evidence, export. Not part of a pickle.

    Raises:
        UsageError: (A ValueError.) The data, the space or another argument is not valid.
    """

    def __init__(
        self,
        model: Any,
        space: Any,
        *,
        n_iter: int | None = 20,
        scoring: Any = "f1_macro",
        cv: Any = 5,
        sampler: Any = "bayesian",
        pruner: Any = "median",
        early_stopping: Any = 1.0,
        metrics: Any = (),
        refit: bool = True,
        timeout: float | str | None = None,
        devices: Any = "auto",
        random_state: Any = None,
        name: str = "search",
        folder: str | Path | None = None,
        task_options: Mapping[str, Any] | None = None,
        verbose: bool = False,
    ) -> None:
        self.model = model
        self.space = space
        self.n_iter = n_iter
        self.scoring = scoring
        self.cv = cv
        self.sampler = sampler
        self.pruner = pruner
        self.early_stopping = early_stopping
        self.metrics = metrics
        self.refit = refit
        self.timeout = timeout
        self.devices = devices
        self.random_state = random_state
        self.name = name
        self.folder = folder
        self.task_options = task_options
        self.verbose = verbose

    def fit(self, X: Any, y: Any, *, groups: Any = None) -> Self:  # noqa: N803  (scikit-learn's name)
        """Search, and train the winner on all rows.

        Args:
            X: Rows, see the class.
            y: One label a row, numbers or text, shape (rows,).
            groups: Groups, shape (rows,): rows of one are never on both sides of a fold.
        """
        rows, targets = self._checked(X, y)
        place = self._new_place()
        self._inputs = inputs_of(rows, self.model, dict(self.task_options or {}))
        task = self._inputs.task(rows, targets, None if groups is None else np.asarray(groups))
        seed = 0 if self.random_state is None else int(check_random_state(self.random_state).randint(2**31 - 1))
        self.study_ = Study(
            self.name,
            task,
            self.space,
            sampler=self.sampler,
            cv=self.cv,
            metric=self.scoring,
            metrics=self.metrics,
            pruner=self.pruner,
            early_stopping=self.early_stopping,
            seed=seed,
            folder=self.folder or place,
        )
        self.result_ = self.study_.run(
            self.n_iter, timeout=self.timeout, devices=self.devices, progress=bool(self.verbose)
        )
        self._keep(self.result_)
        return self

    def _new_place(self) -> str:
        """Return a temporary folder that goes with the estimator, or with its next fit."""
        earlier = getattr(self, "_place", None)
        if earlier is not None:
            earlier()
        place = tempfile.mkdtemp(prefix="hpsearch-")
        self._place = weakref.finalize(self, shutil.rmtree, place, ignore_errors=True)
        return place

    def _checked(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:  # noqa: N803
        rows = self._rows(X, y, reset=True)
        if y is None:
            raise UsageError("FineTuneSearchCV requires y to be passed, but the target y is None.")
        targets = column_or_1d(y, warn=True)
        check_classification_targets(targets)
        if len(rows) != len(targets):
            raise UsageError(f"X has {len(rows)} rows and y has {len(targets)}: give one label a row.")
        self.classes_ = np.unique(targets)
        if len(self.classes_) < 2:
            raise UsageError(
                f"y has one class only, {self.classes_[0]!r}: a classifier needs at least two to tell apart."
            )
        return rows, targets

    def _rows(self, X: Any, y: Any = None, *, reset: bool) -> np.ndarray:  # noqa: N803
        """Return X as an array, checked as scikit-learn checks it where it is rows of numbers."""
        text = np.asarray(X, dtype=object) if _is_text(X) else None
        if text is not None and not callable(self.model):
            return text
        checks: dict[str, Any] = {"dtype": "numeric", "ensure_min_samples": 2 if reset else 1, "allow_nd": True}
        found = validate_data(self, X, reset=reset, **checks)
        becomes_real = found.ndim <= 2 or found.dtype.kind == "f"  # a table of numbers, as scikit-learn has them
        array: np.ndarray = np.ascontiguousarray(found, dtype=np.float32 if becomes_real else found.dtype)
        return array

    def _keep(self, result: "Result") -> None:
        """Keep what the search has found under scikit-learn's names."""
        from hpsearch.estimator_results import cv_results

        best = result.best
        self.cv_results_ = cv_results(result)
        self.n_splits_ = len(self.study_.folds.pairs)
        self.best_index_ = int(np.flatnonzero(self.cv_results_["trial"] == best.number)[0])
        self.best_params_ = dict(result.history.trials[best.number].params)
        self.best_score_ = best.value
        self.best_config_ = dict(best.config)
        self._metric = self.study_.objective
        self._task, self._prepared = self._chosen(best.config)
        self._numerics = replace(self.study_.stored_numerics(), precision="fp32")
        if self.refit:
            self.best_model_ = result.refit().model.cpu()

    def _chosen(self, config: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return the task and the prepared rows of a config, which may choose its pretrained model."""
        study = self.study_
        choice = study.task.model_choice(config)
        chosen = (
            study.task
            if choice is None or study.choices is None
            else study.task.choosing(study.choices.sources[choice])
        )
        return chosen, study.prepared_for(config)

    @available_if(_was_refit)
    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the likeliest label of each row, shape (rows,)."""
        found: np.ndarray = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return found

    @available_if(_was_refit)
    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return probabilities, float64, shape (rows, classes), in the order of `classes_`."""
        import torch

        from hpsearch.metrics import probabilities
        from hpsearch.runtime.refit import honoured
        from hpsearch.training.prediction import predict

        check_is_fitted(self, "best_model_")
        rows = self._rows(X, reset=False)
        numerics, device = replace(self._numerics, device_type="cpu"), torch.device("cpu")
        with tempfile.TemporaryDirectory(prefix="hpsearch-") as scratch, honoured(numerics, device):
            prepared = self._inputs.prepared(self._task, self._prepared, rows, Path(scratch))
            learner = self._task.learner(prepared, "test", self._task.complete(self.best_config_))
            logits = predict(self.best_model_, learner, np.arange(len(rows)), numerics, device)
        chances: np.ndarray = probabilities(logits, prepared.kind)
        return chances

    @available_if(_was_refit)
    def score(self, X: Any, y: Any) -> float:  # noqa: N803
        """Return the objective of the search on other rows."""
        chances = self.predict_proba(X)
        codes = {label: code for code, label in enumerate(self.classes_.tolist())}
        targets = np.asarray(y).tolist()
        unknown = sorted({repr(label) for label in targets if label not in codes})
        if unknown:
            raise UsageError(f"y has the label {unknown[0]}, which was not in the training rows.")
        return float(self._metric(np.array([codes[label] for label in targets]), chances))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = not callable(self.model)
        tags.input_tags.three_d_array = True
        tags.input_tags.two_d_array = callable(self.model)
        tags.non_deterministic = False
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name not in _OF_THIS_PROCESS}


def _is_text(rows: Any) -> bool:
    """Return whether X holds texts: its first value says so."""
    if hasattr(rows, "iloc"):
        rows = rows.to_numpy()
    array = rows if isinstance(rows, np.ndarray) else np.asarray(rows, dtype=object)
    return array.size > 0 and isinstance(array.flat[0], str)
