"""What classifications of texts and of images have in common."""

from typing import TYPE_CHECKING, Any, ClassVar

from hpsearch.tasks.classes.judge import ClassJudge
from hpsearch.tasks.classes.positive import plain_label
from hpsearch.tasks.judge import Judge

if TYPE_CHECKING:
    from hpsearch.tasks.pretrained_task import PretrainedTask
else:
    PretrainedTask = object  # it stands before a task of texts, whose own default of label= it must not hide


class Classification(PretrainedTask):
    """Mixed into a task of transformers' models: targets are classes. The task has the argument `pos_label`."""

    pos_label: Any
    judge_class: ClassVar[type[Judge]] = ClassJudge

    def __post_init__(self) -> None:
        self._set("pos_label", plain_label(self.pos_label))
        super().__post_init__()

    def _learned(self, targets: Any) -> Judge:
        judge = ClassJudge.learn(targets)
        return judge if self.pos_label is None else judge.of_class(self.pos_label)
