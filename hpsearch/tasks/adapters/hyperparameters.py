"""What a config may say of adapters, and the checks that it passes before any training."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from hpsearch.errors import TaskError
from hpsearch.training.hyperparameters import ALL_LAYERS, ChoiceCheck, Hyperparameter, IntegerCheck, RealCheck

RANK = "lora_r"
PREFIX = "lora_"
ALL_LINEAR = "all-linear"
"""peft's word for every linear layer but the head."""

VARIANTS = ("lora", "rslora", "dora")


def check_target_modules(value: Any) -> str:
    """Check for "all-linear", or names of modules between commas; return the names sorted, each once."""
    names = value.split(",") if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else []
    names = [name.strip() if isinstance(name, str) else "" for name in names]
    if not names or not all(names) or (ALL_LINEAR in names and len(set(names)) > 1):
        raise TaskError(
            f"The hyperparameter lora_target_modules={value!r} cannot be trained with; it must be {ALL_LINEAR!r}, or "
            'names of modules between commas, such as "query,value".'
        )
    return ",".join(sorted(set(names)))


ADAPTER_HYPERPARAMETERS: Mapping[str, Hyperparameter] = MappingProxyType(
    {
        RANK: Hyperparameter(
            None,
            IntegerCheck(RANK, 1, optional=True),
            "Rank of the LoRA adapters, which are then trained instead of the pretrained weights; None: no adapters.",
            left_out_at_default=True,
        ),
        "lora_alpha": Hyperparameter(
            16.0,
            RealCheck("lora_alpha", low=0.0, low_open=True),
            "Scale of the adapters: their product is multiplied by alpha / r (rsLoRA: alpha / sqrt(r)).",
            left_out_at_default=True,
        ),
        "lora_dropout": Hyperparameter(
            0.0,
            RealCheck("lora_dropout", low=0.0, high=1.0, high_open=True),
            "Dropout probability of what the adapters read.",
            left_out_at_default=True,
        ),
        "lora_target_modules": Hyperparameter(
            ALL_LINEAR,
            check_target_modules,
            'Which modules get an adapter: "all-linear", or names between commas, such as "query,value".',
            left_out_at_default=True,
        ),
        "lora_variant": Hyperparameter(
            "lora",
            ChoiceCheck("lora_variant", VARIANTS),
            'LoRA (Hu et al. 2022): "lora"; rank-stabilised (Kalajdzievski 2023): "rslora", peft\'s use_rslora; '
            'weight-decomposed (Liu et al. 2024): "dora", peft\'s use_dora.',
            left_out_at_default=True,
        ),
    }
)
"""Hyperparameters of adapters, for tasks over models of transformers. Alpha is that of Hu et al. 2022, table 9, for
RoBERTa-large, and of QLoRA (Dettmers et al. 2023), which also found that all linear layers are to have adapters."""


_MISSING = (
    "lora_r asks for LoRA adapters, which the package peft makes, and it is not installed. Install it: "
    'pip install "hpsearch[peft]".'
)


@dataclass(frozen=True)
class AdapterSettings:
    """The adapters of a config, checked and typed.

    Attributes:
        r: Their rank.
        alpha: Their scale, before it is divided.
        dropout: That of what they read.
        targets: `ALL_LINEAR`, or names between commas.
        variant: One of `VARIANTS`.
    """

    r: int
    alpha: float
    dropout: float
    targets: str
    variant: str

    @property
    def text(self) -> str:
        """What they are, for a sentence."""
        name = {"lora": "a LoRA", "rslora": "an rsLoRA", "dora": "a DoRA"}[self.variant]
        return f"{name} adapter of rank {self.r} (alpha {self.alpha:g}, {self.targets})"

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "AdapterSettings | None":
        """Read a config's adapters, defaults filled in; None where it has none."""
        rank, alpha, dropout, targets, variant = (
            setting.check(config.get(name, setting.default)) for name, setting in ADAPTER_HYPERPARAMETERS.items()
        )
        return None if rank is None else cls(rank, alpha, dropout, targets, variant)


def with_adapters(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a completed config without what it says of adapters that it does not have.

    So `lora_r=None` is one run whatever `lora_alpha` is.

    Raises:
        TaskError: It says what cannot go with adapters.
    """
    if config.get(RANK) is None:
        return {name: value for name, value in config.items() if name not in ADAPTER_HYPERPARAMETERS}
    if config.get("freeze_layers") == ALL_LAYERS:
        raise TaskError(
            f"freeze_layers={ALL_LAYERS!r} trains the head alone, and {RANK}={config[RANK]!r} trains adapters in the "
            "layers. Leave one of them out: with adapters, freeze_layers=0.5 puts them into the upper half only."
        )
    return dict(config)


def check_pretrained(config: Mapping[str, Any], *, is_pretrained: bool) -> None:
    """Raise TaskError where adapters are asked for a model whose weights are not pretrained."""
    if config.get(RANK) is not None and not is_pretrained:
        raise TaskError(
            f"{RANK}={config[RANK]!r} with pretrained=False: adapters change a model that is kept as pretrained, and "
            f"here every weight is drawn. Leave out one of them."
        )


def check_installed() -> None:
    """Raise TaskError where peft is not installed."""
    if importlib.util.find_spec("peft") is None:
        raise TaskError(_MISSING)
