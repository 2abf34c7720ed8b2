"""What the training of a config's model starts from: which pretrained model, or weights that are drawn."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpsearch.errors import TaskError
from hpsearch.tasks.hub import REVISION, named
from hpsearch.tasks.sources import Location
from hpsearch.training.hyperparameters import OF_LAYERS, ChoiceCheck, Hyperparameter


def check_model(value: Any) -> str:
    """Check for a name or path; only reading it shows whether it is a model."""
    if not isinstance(value, str | Path) or not str(value):
        raise TaskError(
            f"The hyperparameter model={value!r} cannot be trained with; it must be the path of a folder, or a name on "
            "the Hugging Face hub."
        )
    return str(value)


MODEL = Hyperparameter(
    None, check_model, "Pretrained model, a folder or a name on the hub; without it, the task's own."
)

PRETRAINED = Hyperparameter(
    None,
    ChoiceCheck("pretrained", (True, False, None)),
    "Whether to start from the model's weights; False draws every weight, for comparison, None is the task's own.",
    left_out_at_default=True,
)


def starts_pretrained(config: Mapping[str, Any] | None, own: bool) -> bool:
    """Return whether a config starts from the model's weights, which without a word of it is the task's `own` way."""
    pretrained = None if config is None else config.get("pretrained")
    return own if pretrained is None else bool(pretrained)


def settled(whole: Mapping[str, Any], own: bool) -> dict[str, Any]:
    """Return a completed config without `pretrained` where it is the task's `own`: equal trainings are equal configs.

    Raises:
        TaskError: It is True where the task's is False; or the config starts from drawn weights and sets what needs
            pretrained layers.
    """
    others = {name: value for name, value in whole.items() if name != "pretrained"}
    if starts_pretrained(whole, own) == own:
        return others
    if not own:
        raise TaskError(
            "pretrained=True in a config, and the task has pretrained=False, so no weights were read. Compare the two "
            "the other way round: leave pretrained out of the task, and set pretrained=False in configs."
        )
    for name, without in OF_LAYERS.items():
        if others.get(name, without) != without:
            raise TaskError(
                f"{name}={others[name]!r} is of pretrained layers, and with pretrained=False every weight is drawn. "
                f"Leave one out; to search both, write pretrained=hp.Categorical([True, False]), and .when("
                f"pretrained=True) behind the range of {name}."
            )
    if others.get("lora_r"):
        raise TaskError(
            f"lora_r={others['lora_r']!r} adapts weights that stay as they are, and with pretrained=False those are "
            "drawn. Leave one out."
        )
    return {**others, "pretrained": False}


def model_of(model: Any, revision: str | None) -> Location | str:
    """Return the folder that `model` names, or the name itself where it can only be one on the hub.

    The name has its revision behind it: "org/name@revision".

    Raises:
        TaskError: It is neither, or a revision is given of a folder, or two of a model.
    """
    if isinstance(model, Location) and revision is None:
        return model
    if not isinstance(model, str | Path | Location) or not str(model):
        raise TaskError(f"model={model!r}: give the path of a folder, or a name on the Hugging Face hub.")
    location = model if isinstance(model, Location) else Location.of(model)
    text = str(model)
    if location.value.is_dir():
        if revision is not None:
            raise TaskError(f"revision={revision!r}, and model={text!r} is a folder, which has none. Leave it out.")
        return location
    name, own = named(text)
    looks_local = isinstance(model, Path) or name.startswith((".", "/", "~")) or "\\" in name or name.count("/") > 1
    if looks_local or location.value.exists():
        raise TaskError(
            f"model={text!r} is not a folder ({location.resolved!r}). Give a folder that holds config.json, weights "
            "and a tokenizer or image processor, or a name on the Hugging Face hub."
        )
    if own == "" or (revision is not None and (not isinstance(revision, str) or not revision or own is not None)):
        raise TaskError(
            f"revision={revision!r} of model={text!r}: give a branch, a tag or a commit, once: as revision=, or behind "
            f"the name ({name}{REVISION}main)."
        )
    return text if revision is None else f"{text}{REVISION}{revision}"
