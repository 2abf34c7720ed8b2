"""A user's trainer under a study, in the process of a run: evaluated, saved and stopped as the study needs it."""

import gc
import math
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from transformers import (
    EarlyStoppingCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)  # fmt: skip

from hpsearch.errors import TaskError
from hpsearch.tasks.loops.run import Run

_TIMES = ("runtime", "samples_per_second", "steps_per_second", "epoch", "model_preparation_time", "num_tokens")
"""What trainers report beside their metrics: it is another on each machine, or no matter of quality."""

ARGUMENTS_FILE = "training_args.bin"
"""A pickle that trainers write beside their checkpoints, and do not need."""

_TENSOR_FILES = ("*.pt", "*.pth", "*.bin")
_USUAL_SEED = 42

_OVERRIDDEN: Mapping[str, tuple[Any, str]] = {
    "load_best_model_at_end": (False, "the study keeps each run's evaluations, and takes the best point"),
    "save_total_limit": (None, "the study keeps one state of each run"),
    "save_only_model": (False, "a run could not go on without its optimizer"),
    "data_seed": (None, "each run has a seed of its own, run.seed"),
    "push_to_hub": (False, "no run is a model to be published; push what you export"),
}
"""Arguments that fight a study, what they are set to, and why."""


def train(make_trainer: Callable[..., Any], config: dict[str, Any], run: Run) -> None:
    """Make the user's trainer and train it to its end, or until the study leaves it.

    Raises:
        TaskError: It is no trainer, its model was made elsewhere, or it cannot be evaluated or continued.
    """
    earlier = _models()
    trainer = make_trainer(config, run.train_rows, run.validation_rows, run)
    _check(trainer, earlier)
    _override(trainer, run)
    trainer.add_callback(Follower(trainer, run))
    state = run.restore()
    if state is not None:
        check_tensors(state)
    trainer.train(resume_from_checkpoint=None if state is None else str(state))


def _models() -> set[int]:
    """Return the ids of the modules that are there before the user's function is called: it brought them along."""
    torch = sys.modules.get("torch")
    return set() if torch is None else {id(thing) for thing in gc.get_objects() if isinstance(thing, torch.nn.Module)}


def _check(trainer: Any, earlier: set[int]) -> None:
    lacking = [name for name in ("args", "add_callback", "callback_handler", "train") if not hasattr(trainer, name)]
    if lacking:
        raise TaskError(
            f"make_trainer returned a {type(trainer).__name__}, which is no trainer: it has no {lacking[0]}. Return a "
            "transformers.Trainer, or one of a class derived from it, not yet trained."
        )
    own = [part for part in trainer.model.modules() if id(part) in earlier and any(True for _ in part.parameters())]
    if own:  # also inside a new one, as peft's
        raise TaskError(
            f"make_trainer returned a trainer of a {type(own[0]).__name__} that was made before it was called: "
            "each run would begin with what that model has learned by then, and with the same head whatever its seed. "
            "Make the model inside make_trainer."
        )
    if getattr(trainer, "eval_dataset", None) is None and getattr(trainer, "evaluator", None) is None:
        raise TaskError(
            "The trainer that make_trainer returned has no eval_dataset, so it cannot be compared. Give it the "
            "validation rows: Trainer(..., eval_dataset=validation_rows)."
        )


def _override(trainer: Any, run: Run) -> None:
    """Set what fights a study to what it needs, each aloud."""
    arguments = trainer.args
    for name, (needed, reason) in _OVERRIDDEN.items():
        given = getattr(arguments, name, needed)
        if given != needed:
            run.warn(f"{name}={given!r} of the trainer is not used: {reason}.")
            setattr(arguments, name, needed)
    arguments.eval_strategy = arguments.save_strategy = "no"  # the study says when
    arguments.output_dir = str(run.folder / "trainer")
    if arguments.seed not in (_USUAL_SEED, run.seed):
        run.warn(f"seed={arguments.seed} of the trainer is not used: each run has a seed of its own, run.seed.")
    arguments.seed = run.seed
    for callback in list(trainer.callback_handler.callbacks):
        name, home = type(callback).__name__, type(callback).__module__
        if isinstance(callback, EarlyStoppingCallback):
            run.warn(f"{name} of the trainer is not used: give the study early_stopping=.")
            trainer.remove_callback(callback)
        elif home.startswith("transformers.integrations"):
            run.warn(f"{name} of the trainer (report_to) is not used: give the study callbacks=.")
            trainer.remove_callback(callback)
    set_seed(run.seed)


def check_tensors(folder: Path) -> None:
    """Load each file of tensors in a checkpoint as torch does without unpickling; `TaskError` where one is not such."""
    import torch
    from transformers.trainer_pt_utils import safe_globals

    for pattern in _TENSOR_FILES:
        for file in sorted(folder.rglob(pattern)):
            try:
                with safe_globals():
                    torch.load(file, map_location="cpu", weights_only=True)
            except Exception as error:
                raise TaskError(
                    f"The file {file.name} of a run's checkpoint holds more than tensors, and is not loaded: "
                    f"{type(error).__name__}. Have the trainer save plain tensors, or start the study under a new name."
                ) from error


class Follower(TrainerCallback):
    """Evaluates a trainer at the study's points, reports, saves where that is due, and stops."""

    def __init__(self, trainer: Any, run: Run) -> None:
        self._trainer, self._run = trainer, run
        self._collected: dict[str, float] = {}
        self._evaluations = 0
        self._reported = 0
        self._is_asked = self._is_over = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """Find where the run stands: after the evaluations that its steps have passed."""
        self._total = state.max_steps
        if self._total < self._run.reports:
            raise TaskError(
                f"The trainer makes {self._total} steps, and the study evaluates each run {self._run.reports} times. "
                "Have it train longer, or evaluate less often: fewer reports= or evaluations_per_epoch=."
            )
        self._reported = sum(self._step_of(point) <= state.global_step for point in range(1, self._run.reports + 1))
        return control

    def _step_of(self, point: int) -> int:
        return math.ceil(point * self._total / self._run.reports)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        self._is_asked = control.should_evaluate = state.global_step >= self._step_of(self._reported + 1)
        control.should_save = not control.should_evaluate and self._run.due(state.global_step)
        return control

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        control.should_evaluate = control.should_save = False
        if self._is_over:
            control.should_training_stop = True
        return control

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> TrainerControl:
        """Report what was evaluated, once all sets of rows have been."""
        if not self._is_asked or self._is_over:  # the user's own code evaluates, too
            return control
        self._collected |= reported(metrics or {})
        self._evaluations += 1
        sets = self._trainer.eval_dataset
        if isinstance(sets, dict) and self._evaluations < len(sets):
            return control
        collected, self._collected, self._evaluations, self._is_asked = self._collected, {}, 0, False
        self._reported += 1
        answer = self._run.report(state.global_step, **collected)
        if self._run.due(state.global_step):
            self._save(control)
        if answer.stop:
            self._is_over = control.should_training_stop = True
        return control

    def _save(self, control: TrainerControl) -> None:
        if not self._run.is_refit:
            control.should_save = True
            return
        with self._run.save() as folder:
            self._trainer.save_model(str(folder))
            (folder / ARGUMENTS_FILE).unlink(missing_ok=True)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """Hand over the checkpoint that the trainer has written; the run may wait in here."""
        written = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        with self._run.save() as folder:
            for path in written.iterdir():
                if path.name != ARGUMENTS_FILE:
                    shutil.move(path, folder / path.name)
            shutil.rmtree(written)
        return control


def reported(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return a trainer's metrics under the study's names: "eval_accuracy" is "accuracy"."""
    named = {name.removeprefix("eval_"): value for name, value in metrics.items()}
    numbers = {name: float(value) for name, value in named.items() if isinstance(value, int | float)}
    return {name: value for name, value in numbers.items() if not name.endswith(_TIMES)}
