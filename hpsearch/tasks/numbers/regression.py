"""What regressions of texts and of images have in common."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from hpsearch.errors import TaskError
from hpsearch.tasks.judge import Judge
from hpsearch.tasks.numbers.judge import NumberJudge
from hpsearch.tasks.pretrained_task import whole_number

if TYPE_CHECKING:
    from hpsearch.tasks.base import Prepared
    from hpsearch.tasks.pretrained_task import PretrainedTask
else:
    PretrainedTask = object  # it stands before a task of texts, whose own default of label= it must not hide


class Regression(PretrainedTask):
    """Mixed into a task of transformers' models: targets are numbers. The task has the argument `strata`."""

    strata: int | None
    judge_class: ClassVar[type[Judge]] = NumberJudge

    def __post_init__(self) -> None:
        if self.strata is not None:
            self._set("strata", whole_number(self.strata, "strata", 2))
        if self.keep_head:
            raise TaskError(
                "keep_head=True: a regression trains on standardised numbers, and a head that was trained before gives "
                "others. Leave keep_head out, so that a new head is drawn."
            )
        super().__post_init__()

    def _learned(self, targets: Any) -> Judge:
        judge = NumberJudge.learn(targets)
        if judge.names == ("",) and isinstance(self.label, str):  # images come without the name of their column
            judge = replace(judge, names=(self.label,))
        return judge if self.strata is None else judge.stratified(self.strata)

    def _use(self, arguments: str, prepared: "Prepared") -> str:
        """Return Python that predicts numbers in the user's units with transformers' pipeline, called with these."""
        judge = prepared.judge
        assert isinstance(judge, NumberJudge)
        lines = [
            "from transformers import pipeline\n",
            f'predict = pipeline("{self.pipeline}", model="path/to/this/folder", function_to_apply="none")',
            f"rows = predict({arguments}, top_k={judge.outputs})",
        ]
        is_single, number = judge.outputs == 1, 'target["score"]'
        if judge.needs_rescaling:
            lines.append("config = predict.model.config")
            place = "0" if is_single else 'config.label2id[target["label"]]'
            number += f" * config.target_scale[{place}] + config.target_mean[{place}]"
        by_name = f'{{target["label"]: {number} for target in row}} for row'
        lines.append(f"numbers = [{number} for (target,)" if is_single else f"numbers = [{by_name}")
        lines[-1] += " in rows]"
        return "\n".join(lines)
