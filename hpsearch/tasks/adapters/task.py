"""What a task over models of transformers says of adapters."""

from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpsearch.tasks.adapters.hyperparameters import (
    ADAPTER_HYPERPARAMETERS,
    RANK,
    AdapterSettings,
    check_pretrained,
    with_adapters,
)
from hpsearch.tasks.base import Prepared, Task
from hpsearch.tasks.starting_weights import starts_pretrained
from hpsearch.training.hyperparameters import Hyperparameter

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, eq=False)
class AdaptedTask(Task, ABC):
    """A task whose configs may train adapters instead of the pretrained weights."""

    def hyperparameters(self) -> Mapping[str, Hyperparameter]:
        return {**super().hyperparameters(), **ADAPTER_HYPERPARAMETERS}

    def complete(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """See `Task.complete`; without settings of adapters where there are none."""
        whole = with_adapters(super().complete(config))
        check_pretrained(whole, is_pretrained=starts_pretrained(whole, getattr(self, "pretrained", True)))
        return whole

    def base_key(self, config: Mapping[str, Any]) -> str:
        """Return which base model a config needs: one whose weights are never trained may hold them rounded."""
        key = super().base_key(config)
        return key if config.get(RANK) is None else f"{key} with adapters"

    def to_export(self, model: "nn.Module", prepared: Prepared, *, merge: bool) -> "nn.Module":
        """Return a trained model as `save` is to write it: with its adapters merged into its weights, or apart."""
        from hpsearch.tasks.adapters.export import merged_copy, note_changes
        from hpsearch.tasks.adapters.lora import peft_config

        if peft_config(model) is None:
            return model
        learner: Any = self.learner(prepared)
        if merge:
            return merged_copy(model, learner.load_model)
        note_changes(model, learner.load_model)
        return model

    def adapter_of(self, config: Mapping[str, Any]) -> AdapterSettings | None:
        return AdapterSettings.of(config)
