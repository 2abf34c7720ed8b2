"""One dropout probability for a whole model, and the way back to the model's own."""

from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from hpsearch.errors import TaskError
from hpsearch.tasks.hub import named
from hpsearch.tasks.pretrained import LOADING_ERRORS, quiet

_OWN = "own_dropout"
_PUBLISHED = ("hidden_dropout_prob", "hidden_dropout", "dropout", "resid_pdrop", "mlp_dropout")
"""Names that configs of transformers give the dropout between layers: BERT's, Swin's, DistilBERT's, GPT-2's, ..."""


def set_dropout(model: nn.Module, probability: float | None) -> None:
    """Set every dropout of `model`, or with None give each its own probability back.

    Dropouts are torch's dropout modules and the numbers that modules and the config hold under a name with "dropout"
    (or "pdrop"), which attention hands to its kernel. Stochastic depth and dropped layers are something else and stay.

    Raises:
        TaskError: The model has no dropout to set.
    """
    own: dict[tuple[str | None, str], float] | None = getattr(model, _OWN, None)
    if own is None:
        own = dict(_dropouts(model))
        setattr(model, _OWN, own)
    if probability is not None and all(path is None for path, _ in own):
        raise TaskError(
            f"dropout={probability}, but {type(model).__name__} has no dropout anywhere. Leave dropout out of the "
            "space, or set it to None."
        )
    for (path, attribute), value in own.items():
        holder: Any = model.config if path is None else model.get_submodule(path)
        setattr(holder, attribute, value if probability is None else probability)


def has_dropout(model: nn.Module) -> bool:
    """Whether a model has any dropout that can be set."""
    return any(path is not None for (path, _), _ in _dropouts(model))


def published_dropout(source: str) -> float | None:
    """Return the dropout between layers that a model was published with (BERT 0.1), or None where that is not known.

    Only this machine is searched: a name on the hub is known once the model has been loaded.
    """
    from transformers import AutoConfig

    with quiet():
        try:
            name, revision = named(source)
            config = AutoConfig.from_pretrained(
                name, revision=revision or "main", trust_remote_code=False, local_files_only=True
            )
        except LOADING_ERRORS:
            return None
    values: list[Any] = [getattr(config, name, None) for name in _PUBLISHED]
    return next((float(value) for value in values if _is_probability(value)), None)


def _dropouts(model: nn.Module) -> Iterator[tuple[tuple[str | None, str], float]]:
    """Yield ((path of the module, or None for the config; attribute), probability)."""
    for path, module in model.named_modules():
        if isinstance(module, _DropoutNd):
            yield (path, "p"), module.p
            continue
        for name, value in vars(module).items():
            if "dropout" in name and _is_probability(value):
                yield (path, name), value
    for name, value in vars(getattr(model, "config", object)).items():
        if ("dropout" in name or name.endswith("pdrop")) and _is_probability(value):
            yield (None, name), value


def _is_probability(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
