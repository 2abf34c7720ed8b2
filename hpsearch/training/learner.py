"""The seam between the fine-tune and what is fine-tuned: what the loop needs of a task, inside a worker."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

import numpy as np
from torch import Tensor, nn

from hpsearch.data.ragged import Rows


class Learner(Protocol):
    """One prepared set of rows and one pretrained model, ready to be trained from.

    Rows are named by their index in the prepared set. Nothing here may depend on the device's number, on time,
    or on which batches were made before.
    """

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row, int64, shape (rows,); all ones where rows do not differ in length (images)."""

    @property
    def inputs_are_fixed(self) -> bool:
        """Whether `batch` gives a row the same inputs whenever it comes up and whatever is beside it, padding aside.

        Random augmentation does not. Outputs of frozen layers are kept only where it does; without this property
        a learner counts as one that does not.
        """

    def load_model(self) -> nn.Module:
        """Return a new model in float32 on the CPU with the pretrained weights, and a head of the right size.

        It is trained itself: nobody else may hold it, or anything in it.
        """

    def initialize_head(self, model: nn.Module) -> None:
        """Draw anew, in place, from torch's global random state, every parameter that is not pretrained."""

    def configure(self, model: nn.Module, config: Mapping[str, Any]) -> None:
        """Set what `config` says of the model itself (dropout); what it does not name goes back to the model's own."""

    def layers(self, model: nn.Module) -> Sequence[Sequence[nn.Module]]:
        """Return the modules below the head from the input upwards: [embeddings, layer 1, ..., layer n]."""

    def batch(self, rows: np.ndarray, padding_multiple: int) -> dict[str, Tensor]:
        """Return the model's inputs for these rows, on the CPU, padded to the longest row rounded up."""

    def targets(self, rows: np.ndarray) -> Tensor:
        """Return the targets of these rows as `losses` takes them, the first axis the rows."""

    def truth(self, rows: np.ndarray) -> Rows:
        """Return the targets of these rows as metrics take them, whatever the learner was fitted to."""

    def weights(self, rows: np.ndarray) -> Tensor | None:
        """Return each row's share in the loss, float32, shape (rows,), or None where every row has the same.

        That is its sample weight; where `losses` are means over the parts of a row, times its number of them.
        """

    def sample_weights(self, rows: np.ndarray) -> np.ndarray | None:
        """Return the user's sample weights, float32, shape (rows,), which metrics count; None where there are none."""

    def outputs(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the model's outputs for a batch, the first axis the rows: the logits of a classifier."""

    def losses(self, outputs: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        """Return the loss of each row in float32, shape (rows,)."""

    # What becomes of outputs when they are evaluated.

    def fitted(self, rows: np.ndarray) -> Self:
        """Return the learner of a run that trains on these rows, and on no others.

        What is fitted to targets (their mean and deviation) is fitted here. Inputs, layers and outputs are the same.
        """

    def keep(
        self, outputs: Tensor, batch: Mapping[str, Tensor], rows: np.ndarray, model: nn.Module
    ) -> Tensor | Sequence[Tensor]:
        """Return what is kept of a batch's outputs, on their device, in a type that NumPy has.

        A tensor whose first axis is the rows, or where rows differ in length one tensor a row. Rows are kept one by
        one: what is kept of a row does not depend on the others. `rows` are those of the batch, for what is computed
        with their targets; `model` is in eval mode, for what it generates.
        """

    def for_answers(self) -> Self:
        """Return this learner as it also keeps what costs more to compute, if there is such: answers it generates."""

    def mean_loss(self, kept: Rows, rows: np.ndarray) -> float:
        """Return the weighted mean loss of rows of which this was kept, without label smoothing."""

    def own_units(self, kept: Rows) -> Rows:
        """Return what was kept in the user's units, whatever the learner was fitted to."""
