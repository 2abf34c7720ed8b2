"""Pretrained models, as transformers reads and writes them: from a folder or from the hub, nothing on the screen."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hpsearch.data.wording import counted, listed
from hpsearch.errors import TaskError
from hpsearch.records import digest
from hpsearch.tasks.heads import lost_parameters, mark_head, new_parameters
from hpsearch.tasks.hub import advice, commit_of, hub_arguments
from hpsearch.tasks.judge import Judge
from hpsearch.tasks.loading import LOADING_ERRORS as LOADING_ERRORS  # noqa: PLC0414  (others take them from here)
from hpsearch.tasks.loading import first_line as first_line  # noqa: PLC0414
from hpsearch.tasks.loading import quiet as quiet  # noqa: PLC0414
from hpsearch.tasks.padding import tell_config

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
WEIGHT_SUFFIXES = {".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".gguf", ".onnx", ".npz"}
OTHER_WEIGHTS = WEIGHT_SUFFIXES - {".safetensors", ".bin"}
"""Of weights that are never read, and of an optimizer beside them."""

_VOLATILE = {"_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype", "id2label", "label2id"}


def files_to_load(folder: Path) -> list[str]:
    """Return the names of a folder's files that loading its model may read: none of weights in other formats."""
    if not folder.is_dir():
        return []
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    left_out = OTHER_WEIGHTS | ({".bin"} if any(name in names for name in WEIGHT_FILES[:2]) else set())
    return [name for name in names if Path(name).suffix not in left_out]


@dataclass(frozen=True)
class Pretrained:
    """Which model is fine-tuned, and what its outputs mean.

    Attributes:
        source: A local folder (absolute) or a name on the hub.
        auto_class: The class of transformers that builds it: "AutoModelForSequenceClassification", ...
        judge: What becomes of the outputs; it says what the config says of them.
        weights: Whether to start from the weights in `source`; otherwise only its config.json is read.
        keep_head: Keep a head that the weights bring along, where its outputs are these.
        pad_token_id: What rows are padded with, where they are texts.
    """

    source: str
    auto_class: str
    judge: Judge
    weights: bool = True
    keep_head: bool = False
    pad_token_id: int | None = None

    @property
    def from_scratch(self) -> bool:
        """Whether there is nothing pretrained to start from: by request, or for want of a weights file in a folder."""
        folder = Path(self.source)
        return not self.weights or (folder.is_dir() and not any((folder / name).is_file() for name in WEIGHT_FILES))

    def remarks(self, model: nn.Module) -> list[str]:
        """Return what is to be said of the weights that a loaded model has, in sentences."""
        if not self.weights:
            return []
        if self.from_scratch:
            others = [path.name for path in sorted(Path(self.source).iterdir()) if path.suffix in WEIGHT_SUFFIXES]
            unread = f"weights under names that transformers does not read ({listed(others)}), so"
            held = unread if others else "no weights:"
            return [
                f"the folder of {self.source!r} has {held} the model is trained from scratch. Give the folder that "
                f"save_pretrained wrote, with {WEIGHT_FILES[0]} in it; pretrained=False says that this is meant."
            ]
        lost = lost_parameters(model)
        if not lost:
            return []
        return [
            f"the weights in {self.source!r} lack {counted(len(lost), 'tensor')} below the head, or have another size "
            f"for them ({listed(lost, 3)}): these are drawn anew. Weights saved by another class of the model may lack "
            "them; if more was pretrained, give the folder that holds it."
        ]

    def config(self) -> Any:
        """Return the model's config with the outputs of this task.

        Raises:
            TaskError: No such model, or its head is to be kept and has other outputs.
        """
        own = read_config(self.source)
        outputs = self.judge.model_config()
        if self.keep_head and "id2label" in outputs:
            self._check_kept_head(own)
        for name, value in outputs.items():
            setattr(own, name, value)
        if "id2label" in outputs and own.num_labels != len(own.id2label):  # PVT's is a number of its own
            own.num_labels = len(own.id2label)
        if self.pad_token_id is not None:
            tell_config(own, self.pad_token_id)
        return own

    def _check_kept_head(self, own: Any) -> None:
        theirs = [str(own.id2label[code]) for code in sorted(own.id2label)]
        ours = list(self.judge.model_config()["id2label"].values())
        unnamed = theirs == [f"LABEL_{code}" for code in range(len(ours))]
        if theirs != ours and not unnamed:
            raise TaskError(
                f"keep_head=True, but the head of {self.source!r} was trained for the labels {theirs}, and the data "
                f"has {ours}. Leave keep_head out, so that a new head is drawn, or rename the labels of the data."
            )

    def load(self) -> nn.Module:
        """Return a new model in float32 on the CPU, marked with the names of its new parameters.

        The global random state stays as it was. What is not pretrained is the same on every call, until
        `initialize_head` draws it.

        Raises:
            TaskError: The weights cannot be read, or are those of another architecture.
        """
        import transformers

        config, scratch = self.config(), self.from_scratch
        builder = getattr(transformers, self.auto_class)
        with quiet(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            try:
                if scratch:
                    model, report = builder.from_config(config, dtype=torch.float32, trust_remote_code=False), None
                else:
                    model, report = builder.from_pretrained(
                        **hub_arguments(self.source),
                        config=config,
                        dtype=torch.float32,
                        trust_remote_code=False,
                        ignore_mismatched_sizes=True,
                        output_loading_info=True,
                    )
            except LOADING_ERRORS as error:
                raise TaskError(
                    f"the model {self.source!r} cannot be loaded as {self.auto_class.removeprefix('AutoModelFor')}: "
                    f"{first_line(error)} Give a model of a matching architecture whose weights are complete, or "
                    "pretrained=False to train its config.json from scratch."
                ) from error
        new = None if report is None else {*report["missing_keys"], *(key[0] for key in report["mismatched_keys"])}
        mark_head(model, new, keep_head=self.keep_head, source=self.source)
        return model.float().eval()

    def digest(self, model: nn.Module) -> str:
        """Return the digest of what training starts from: config, attention, every pretrained tensor, what is new."""
        new = new_parameters(model)
        content = digest_of_tensors({name: tensor for name, tensor in model.state_dict().items() if name not in new})
        config: Any = model.config
        facts = {name: value for name, value in config.to_dict().items() if name not in _VOLATILE}
        facts["attention"] = attention_of(model)
        return digest([self.auto_class, *self.judge.identity, repr(sorted(facts.items())), content])


def digest_of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of named tensors: names, types, shapes and bytes."""
    content = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        content.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode() + bytes_of(tensor))
    return content.hexdigest()


def bytes_of(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def attention_of(model: nn.Module) -> str:
    """Return the attention kernel that a model computes with, by transformers' name.

    It is "sdpa" where the model supports it, else "eager" (DeBERTa), unless a saved config asks for another.
    """
    config: Any = model.config
    return str(getattr(config, "_attn_implementation", None) or "none")


def save_model(model: nn.Module, processor: Any, folder: Path) -> None:
    """Write config (with the names of the labels), weights (safetensors) and the tokenizer or image processor.

    Of a model with adapters in it, these alone are written as weights, and what else was trained.
    """
    from hpsearch.tasks.adapters.export import save_adapter
    from hpsearch.tasks.adapters.lora import peft_config

    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    saved: Any = model
    with quiet():
        if peft_config(model) is None:
            saved.save_pretrained(target, safe_serialization=True)
        else:
            save_adapter(model, target)
        processor.save_pretrained(target)


def read_config(source: str) -> Any:
    """Return the config of a model folder or hub name.

    Raises:
        TaskError: There is no config.json, or this transformers does not know the model.
    """
    from transformers import AutoConfig

    with quiet():
        try:
            config = AutoConfig.from_pretrained(**hub_arguments(source), trust_remote_code=False)
        except LOADING_ERRORS as error:
            raise TaskError(
                f"there is no usable model at {source!r}: {first_line(error)}{advice(source, str(error))} Give a "
                "folder that holds config.json "
                "(and weights), or a name on the Hugging Face hub; without a connection a hub model must be in the "
                "local cache already, or be copied into a folder. Models that need code of their own are not run."
            ) from error
    config._commit_hash = commit_of(source)  # as transformers had it once; an exported adapter names it
    return config
