"""All that changes while a run trains, in one place: what a checkpoint has to hold, and nothing else."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hpsearch.training.base_model import BaseModel
from hpsearch.training.freezing import Freezing
from hpsearch.training.numerics import same_bits
from hpsearch.training.optimizers import kept_of
from hpsearch.training.random_states import RandomStates
from hpsearch.training.run_checkpoint import check_tensors, fact, prefixed, under, unusable
from hpsearch.training.schedule_free import ScheduleFreeAdamW


@dataclass
class Position:
    """The place in a run that it has reached.

    Attributes:
        point: The last evaluation point reached.
        step: Optimizer steps done.
        rows_seen: Training rows seen, repetitions counted.
        weight_sum: Sum of the weights of the rows seen since the last evaluation point.
        seconds: Time spent since the last evaluation point.
    """

    point: int = 0
    step: int = 0
    rows_seen: int = 0
    weight_sum: float = 0.0
    seconds: float = 0.0

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Position":
        """Read a position written as JSON; `CheckpointError` where it is not one."""
        counts = [fact(facts, name, int) for name in ("point", "step", "rows_seen")]
        sums = [float(fact(facts, name, int, float)) for name in ("weight_sum", "seconds")]
        if min(counts) < 0 or not all(math.isfinite(value) for value in sums):
            raise unusable(f"its position is {counts} with {sums}")
        return cls(*counts, *sums)


class RunState:
    """The trained part of a model, its optimizer, the scale of its loss, the run's random states and its position.

    Attributes:
        scaler: Scales the loss in fp16, whose range is narrow (Micikevicius et al. 2018, section 3.2), and leaves out
            steps whose gradient overflows under the scale, which then falls; does nothing in other precisions.
        trainable: Trained parameters by name, each once, however many modules share it; `optimizer` is over them.
        loss_sum: Weighted sum of the losses since the last evaluation point: a scalar on the device, which nobody
            waits for before the next one.
    """

    def __init__(
        self,
        base: BaseModel,
        freezing: Freezing,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        random: RandomStates,
    ) -> None:
        self.model: nn.Module = base.model
        self.optimizer = optimizer
        self.scaler = scaler
        self.random = random
        self.position = Position()
        # float64 holds a sum over millions of rows; Apple's GPUs have none.
        dtype = torch.float32 if base.device.type == "mps" else torch.float64
        self.loss_sum = torch.zeros((), dtype=dtype, device=base.device)
        self.trainable = {name: item for name, item in self.model.named_parameters() if item.requires_grad}
        self._kept = {name: kept_of(optimizer, item.detach().to("meta")) for name, item in self.trainable.items()}
        self._averaging = optimizer if isinstance(optimizer, ScheduleFreeAdamW) else None
        self._is_training = False
        base.before_training(self.trainable)
        self._pristine_buffers = base.pristine_buffers()
        self._buffers = {
            name: buffer for name, buffer in self.model.named_buffers() if name.rpartition(".")[0] not in freezing.names
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return the arrays of the state by name, not copied: of the buffers only those that have changed.

        The parameters are then those that are evaluated (`to_evaluation`).
        """
        changed = {
            name: buffer
            for name, buffer in self._buffers.items()
            if not same_bits(buffer.cpu(), self._pristine_buffers[name])
        }
        self.to_evaluation()
        kept = {
            f"{item}/{name}": self.optimizer.state[parameter][item]
            for name, parameter in self.trainable.items()
            if self.optimizer.state.get(parameter)
            for item in self._kept[name]
        }
        return {
            **prefixed("parameters", self.trainable),
            **prefixed("buffers", changed),
            **prefixed("optimizer", kept),
            **prefixed("random", self.random.tensors()),
            "loss_sum": self.loss_sum,
        }

    def to_evaluation(self) -> None:
        """Have the parameters be those that are evaluated, written down and exported, where they are not those trained.

        They are schedule-free AdamW's averages.
        """
        if self._averaging is not None and self._is_training:
            self._averaging.to_evaluation()
        self._is_training = False

    def to_training(self) -> None:
        """Have the parameters be those that gradients are taken at."""
        if self._averaging is not None and not self._is_training:
            self._averaging.to_training()
        self._is_training = True

    def facts(self) -> dict[str, Any]:
        """Return the rest of the state, as JSON takes it."""
        scale = {"loss_scale": self.scaler.state_dict()} if self.scaler.is_enabled() else {}
        return {**vars(self.position), **scale, "random": self.random.facts()}

    def check(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Check that `load` can take these; `CheckpointError` where it cannot."""
        expected = {
            **prefixed("parameters", self.trainable),
            **prefixed("random", self.random.tensors()),
            "loss_sum": self.loss_sum,
        }
        optional = {f"{item}/{name}": tensor for name, kept in self._kept.items() for item, tensor in kept.items()}
        check_tensors(tensors, expected, {**prefixed("buffers", self._buffers), **prefixed("optimizer", optional)})
        for name, kept in self._kept.items():
            present = [item for item in kept if f"optimizer/{item}/{name}" in tensors]
            if len(present) not in (0, len(kept)):
                raise unusable(f"of the optimizer's state of {name!r} it has only {present}")
        if self.scaler.is_enabled():
            self._check_scale(fact(facts, "loss_scale", dict))
        RandomStates.check_facts(fact(facts, "random", dict))
        Position.of(facts)

    def _check_scale(self, scale: Mapping[str, Any]) -> None:
        own = self.scaler.state_dict()
        alike = scale.keys() == own.keys() and all(type(scale[name]) is type(value) for name, value in own.items())
        if not alike or not all(math.isfinite(value) and value >= 0 for value in scale.values()):
            raise unusable(f"its loss scale is {dict(scale)}")

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Take over a state that `check` has accepted."""
        self.position = Position.of(facts)
        self.loss_sum.copy_(tensors["loss_sum"])
        self.scaler.load_state_dict(facts.get("loss_scale", {}))  # does nothing unless in fp16
        self.random.load(under("random", tensors), facts["random"])
        parameters = under("parameters", tensors)
        for name, parameter in self.trainable.items():
            parameter.copy_(parameters[name])
        changed = under("buffers", tensors)
        for name, buffer in self._buffers.items():
            buffer.copy_(changed.get(name, self._pristine_buffers[name]))
        self._load_kept(under("optimizer", tensors))

    def _load_kept(self, saved: Mapping[str, Tensor]) -> None:
        self.optimizer.state.clear()
        self._is_training = self._averaging is None  # the parameters of a checkpoint are averages
        for name, parameter in self.trainable.items():
            if any(f"{item}/{name}" not in saved for item in self._kept[name]) or not self._kept[name]:
                continue  # it has had no gradient yet, and so no state
            state = {item: place.copy_(saved[f"{item}/{name}"]) for item, place in self._places(parameter)}
            if self._averaging is not None:
                state["x"] = parameter.detach().clone(memory_format=torch.preserve_format)
            self.optimizer.state[parameter] = state

    def _places(self, parameter: nn.Parameter) -> Iterable[tuple[str, Tensor]]:
        return kept_of(self.optimizer, parameter.detach()).items()
