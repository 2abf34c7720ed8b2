"""A trained adapter as others read it: in peft's files beside its base, or merged into the weights."""

import copy
import json
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hpsearch.tasks.adapters.lora import NAME, adapter_tensors, inject, is_adapter, merge, peft_config, settings_in
from hpsearch.tasks.heads import new_parameters
from hpsearch.tasks.loading import quiet

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"

_SAVED = "adapter_saved"
"""The attribute of a model with the names of the parameters that are saved beside its adapters."""

_PREFIX = "base_model.model."
"""What peft puts before the names of a model's parameters."""

_TASK_TYPES = {
    "ForSequenceClassification": "SEQ_CLS",
    "ForTokenClassification": "TOKEN_CLS",
    "ForCausalLM": "CAUSAL_LM",
    "LMHeadModel": "CAUSAL_LM",
    "ForConditionalGeneration": "SEQ_2_SEQ_LM",
    "ForSeq2SeqLM": "SEQ_2_SEQ_LM",
    "MTModel": "SEQ_2_SEQ_LM",
}
"""peft's name of a task, by the end of the name of a model's class; images have none."""


_AUTO_CLASSES = {"CAUSAL_LM": "AutoModelForCausalLM", "SEQ_2_SEQ_LM": "AutoModelForSeq2SeqLM"}
"""The class that loads a base which needs no config of the adapter's own, by peft's name of the task."""


@torch.no_grad()
def merged_copy(model: nn.Module, load: Callable[[], nn.Module]) -> nn.Module:
    """Return a model's copy on the CPU with its adapters merged into its weights; `load` reads the base anew.

    The model itself keeps its adapters: merging rounds, and can be undone only nearly.
    """
    copied, settings = load(), settings_in(model)
    vars(copied)["config"].__dict__.update(vars(model)["config"].__dict__)
    inject(copied, settings, list(peft_targets(model)))
    values = dict(model.named_parameters())
    for name, parameter in copied.named_parameters():
        parameter.copy_(values[name])
    merge(copied)
    return copied.eval()


@torch.no_grad()
def note_changes(model: nn.Module, load: Callable[[], nn.Module]) -> None:
    """Note, for `save_adapter`, what else than adapters has changed in a model: a head, as a rule."""
    before = {_plain(name): parameter for name, parameter in load().named_parameters()}
    new = new_parameters(model)
    vars(model)[_SAVED] = frozenset(
        _plain(name)
        for name, parameter in model.named_parameters()
        if not is_adapter(name)
        and (_plain(name) in new or not torch.equal(parameter.cpu(), before[_plain(name)].cpu()))
    )


def save_adapter(model: nn.Module, folder: Path) -> None:
    """Write a model's adapters as peft reads them, with the name and revision of the base.

    Beside them is what else was trained, whole modules of it (peft's `modules_to_save`). Only where there is such a
    module is the model's config written, which says how many outputs it has: without it transformers' pipelines load
    the base named in the adapter by themselves.
    """
    from peft.utils import get_peft_model_state_dict
    from safetensors.torch import save_file

    modules = sorted(_modules_of(model, vars(model).get(_SAVED, new_parameters(model))))
    _config_of(model, modules).save_pretrained(str(folder))
    tensors: dict[str, Tensor] = get_peft_model_state_dict(model, dict(adapter_tensors(model)), adapter_name=NAME)
    tensors = {_PREFIX + name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()}
    for module in modules:
        tensors.update(model.get_submodule(module).state_dict(prefix=f"{_PREFIX}{module}."))
    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(whole, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    if modules:
        config: Any = copy.deepcopy(model.config)
        config.architectures = [type(model).__name__]
        config.save_pretrained(folder)
    if task_type(model) in _AUTO_CLASSES:
        generating: Any = model
        generating.generation_config.save_pretrained(folder)


def _config_of(model: nn.Module, modules: list[str]) -> Any:
    """Return peft's config of a model's adapters for those who load them, with the base and what is saved beside."""
    from peft import LoraConfig

    own: Any = peft_config(model)
    base, kind = vars(model)["config"], task_type(model)
    mapping = {"base_model_class": type(model).__name__, "parent_library": type(model).__module__}
    return LoraConfig(
        r=own.r,
        lora_alpha=int(own.lora_alpha) if own.lora_alpha == int(own.lora_alpha) else own.lora_alpha,
        lora_dropout=own.lora_dropout,
        use_rslora=own.use_rslora,
        use_dora=own.use_dora,
        fan_in_fan_out=own.fan_in_fan_out,
        target_modules=_short_names(model),
        modules_to_save=modules or None,
        base_model_name_or_path=base._name_or_path,
        revision=getattr(base, "_commit_hash", None),
        task_type=kind,
        auto_mapping=None if kind else mapping,
        inference_mode=True,
    )


def _short_names(model: nn.Module) -> list[str]:
    """Return names that mean a model's modules with adapters and no others; where there are none, their paths."""
    paths = [path for path, _ in model.named_modules() if not is_adapter(path)]
    adapted = {path.removesuffix(".base_layer") for path in paths if path.endswith(".base_layer")}
    names = {path.rpartition(".")[2] for path in adapted}
    meant = {path for path in paths if path.rpartition(".")[2] in names}
    return sorted(names if meant == adapted else adapted)


def peft_targets(model: nn.Module) -> Collection[str]:
    """Return the names by which peft has found the modules that have adapters."""
    config = peft_config(model)
    assert config is not None
    return config.target_modules


def task_type(model: nn.Module) -> str | None:
    """Return peft's name of what a model is for; None where it has none."""
    name = type(model).__name__
    return next((kind for end, kind in _TASK_TYPES.items() if name.endswith(end)), None)


def is_adapter_folder(folder: Path) -> bool:
    """Whether a folder holds an adapter, and not a whole model."""
    return (Path(folder) / CONFIG_FILE).is_file()


def load_exported(folder: Path) -> Any:
    """Load an exported adapter on its base, in float32 on the CPU, and merge it: what `loading_code` does."""
    import transformers
    from peft import PeftModel

    settings = _settings(folder)
    arguments: dict[str, Any] = {"revision": settings["revision"]} if settings.get("revision") else {}
    if has_config(folder):
        arguments |= {"config": transformers.AutoConfig.from_pretrained(folder), "ignore_mismatched_sizes": True}
    builder = getattr(transformers, _class_of(folder))
    source = settings["base_model_name_or_path"]
    with quiet():
        base = builder.from_pretrained(source, dtype=torch.float32, trust_remote_code=False, **arguments)
        return PeftModel.from_pretrained(base, str(folder)).merge_and_unload()


def loading_code(folder: Path, call: str) -> str:
    """Return Python that loads an exported adapter, for the model card; `call` is what does so of a whole model."""
    settings = _settings(folder)
    source, given = settings["base_model_name_or_path"], settings.get("revision")
    revision = f", revision={given!r}" if given else ""
    if not has_config(folder):
        return f"# With peft installed, transformers loads {source!r} and puts the adapter on it.\n{call}"
    name = _class_of(folder)
    beside = "image_processor" if (folder / "preprocessor_config.json").is_file() else "tokenizer"
    lines = [
        "import transformers",
        "from peft import PeftModel\n",
        f'folder, base = "{_PLACE}", {source!r}',
        "config = transformers.AutoConfig.from_pretrained(folder)",
        f"model = transformers.{name}.from_pretrained(",
        f'    base, config=config, dtype="float32", ignore_mismatched_sizes=True{revision}',
        ")",
        "model = PeftModel.from_pretrained(model, folder).merge_and_unload()\n",
    ]
    return "\n".join([*lines, call.replace(f'model="{_PLACE}"', f"model=model, {beside}=folder")])


def facts_of(folder: Path) -> dict[str, Any]:
    """Return what an exported adapter says of itself and its base."""
    names = ("base_model_name_or_path", "revision", "r", "lora_alpha", "target_modules", "modules_to_save")
    settings = _settings(folder)
    return {name: settings.get(name) for name in names}


def has_config(folder: Path) -> bool:
    """Whether an exported adapter comes with a config of its own, as one with a new head does."""
    return (folder / "config.json").is_file()


_PLACE = "path/to/this/folder"
"""What model cards call the folder."""


def _settings(folder: Path) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    return settings


def _class_of(folder: Path) -> str:
    """Return the class of transformers that loads the base of an exported adapter."""
    if has_config(folder):
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return str(config["architectures"][0])
    return _AUTO_CLASSES[_settings(folder)["task_type"]]


def _modules_of(model: nn.Module, names: Collection[str]) -> Iterator[str]:
    """Yield the paths of the largest modules of which every parameter is named, and of those that hold the rest."""

    def walk(path: str, module: nn.Module) -> Iterator[str]:
        prefix = f"{path}." if path else ""
        inside = [_plain(prefix + name) for name, _ in module.named_parameters()]
        if path and inside and all(name in names for name in inside):
            yield path
            return
        own = [_plain(prefix + name) for name, _ in module.named_parameters(recurse=False)]
        if path and any(name in names for name in own):
            yield path
            return
        for name, child in module.named_children():
            yield from walk(prefix + name, child)

    yield from walk("", model)


def _plain(name: str) -> str:
    """Return a parameter's name as it is without adapters."""
    return name.replace(".base_layer.", ".")
