"""Divergence: a run whose numbers are no longer numbers."""

from hpsearch.errors import HpsearchError


class Diverged(HpsearchError):  # noqa: N818  # an outcome of a run, named as the record names it
    """Loss, weights or outputs of a run are not finite: the config is to blame, and the run is not to be repeated.

    Attributes:
        quantity: What is not finite.
        step: Optimizer steps done.
        epoch: Passes over the training rows done, a fraction.
        precision: What it was trained in.
    """

    def __init__(self, quantity: str, step: int, epoch: float, precision: str = "fp32") -> None:
        super().__init__(quantity, step, epoch, precision)
        self.quantity = quantity
        self.step = step
        self.epoch = epoch
        self.precision = precision

    def __str__(self) -> str:
        hint = " fp16 holds no number above 65,504: if many trials diverge, give precision='fp32'."
        return (
            f"The run diverged: its {self.quantity} is not finite after step {self.step} (epoch {self.epoch:.2f}). "
            "A lower learning_rate, a longer warmup or clipping by max_grad_norm usually helps."
        ) + (hint if self.precision == "fp16" else "")
