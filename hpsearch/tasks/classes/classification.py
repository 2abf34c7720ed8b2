"""What classifications of texts and of images have in common."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from hpsearch.tasks.classes.judge import ClassJudge
from hpsearch.tasks.classes.positive import plain_label
from hpsearch.tasks.classes.weights import CLASS_WEIGHT, NAME, check_class_weight, check_labels
from hpsearch.tasks.judge import Judge
from hpsearch.training.hyperparameters import Hyperparameter

if TYPE_CHECKING:
    from hpsearch.tasks.pretrained_task import PretrainedTask
else:
    PretrainedTask = object  # it stands before a task of texts, whose own default of label= it must not hide


class Classification(PretrainedTask):
    """Mixed into a task of transformers' models: targets are classes.

    The task has the arguments `pos_label` and `class_weight`.
    """

    pos_label: Any
    class_weight: Any
    judge_class: ClassVar[type[Judge]] = ClassJudge

    def __post_init__(self) -> None:
        self._set("pos_label", plain_label(self.pos_label))
        self._set(NAME, check_class_weight(self.class_weight))
        super().__post_init__()

    def hyperparameters(self) -> Mapping[str, Hyperparameter]:
        return {**super().hyperparameters(), NAME: CLASS_WEIGHT}

    def unnamed(self) -> Mapping[str, Any]:
        return {**super().unnamed(), NAME: self.class_weight}

    def _learned(self, targets: Any) -> Judge:
        judge = ClassJudge.learn(targets)
        check_labels(self.class_weight, judge.classes)
        return judge if self.pos_label is None else judge.of_class(self.pos_label)
