"""The form of a checkpoint: one safetensors file and one JSON file, neither of which can run code when read."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from safetensors import SafetensorError
from safetensors import torch as safetensors_torch
from torch import Tensor

from hpsearch.errors import CheckpointError

TENSORS = "state.safetensors"
FACTS = "state.json"
FORMAT = 1


def dump(identity: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> dict[str, bytes]:
    """Return a checkpoint as file name to bytes.

    `identity` is the run's digest. No two tensors share memory; `facts` are as JSON takes them.
    """
    data = safetensors_torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    described = {"format": FORMAT, "identity": identity, "sha256": hashlib.sha256(data).hexdigest(), **facts}
    return {TENSORS: data, FACTS: json.dumps(described, sort_keys=True).encode("ascii")}


def load(identity: str, files: Mapping[str, bytes]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors, on the CPU, and the facts that `dump` was given.

    Raises:
        CheckpointError: The checkpoint is incomplete or damaged, or belongs to another run than `identity`.
    """
    if set(files) != {TENSORS, FACTS}:
        raise unusable(f"its files are {sorted(files)} and not {sorted((TENSORS, FACTS))}")
    try:
        facts = json.loads(files[FACTS])
    except ValueError as error:
        raise unusable(f"{FACTS} is not JSON ({error})") from error
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise unusable(f"{FACTS} is not of format {FORMAT}")
    if facts.get("identity") != identity:
        raise unusable(f"it belongs to run {facts.get('identity')!r} and not to {identity!r}")
    if facts.get("sha256") != hashlib.sha256(files[TENSORS]).hexdigest():
        raise unusable(f"{TENSORS} ({len(files[TENSORS])} bytes) is not what was written")
    try:
        return safetensors_torch.load(files[TENSORS]), facts
    except SafetensorError as error:
        raise unusable(f"{TENSORS} cannot be read ({error})") from error


def check_tensors(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], optional: Mapping[str, Tensor]
) -> None:
    """Raise CheckpointError at the first name, shape or dtype that is neither of `expected`, all of which are needed,
    nor of `optional`.
    """
    missing = expected.keys() - tensors.keys()
    foreign = tensors.keys() - expected.keys() - optional.keys()
    if missing or foreign:
        name = min(missing or foreign)
        raise unusable(f"{name!r} is {'missing from it' if missing else 'nothing that this run has'}")
    for name, tensor in tensors.items():
        reference = expected[name] if name in expected else optional[name]
        if tensor.shape != reference.shape or tensor.dtype != reference.dtype:
            raise unusable(
                f"{name!r} is {tensor.dtype} of shape {tuple(tensor.shape)} in it, and {reference.dtype} of shape "
                f"{tuple(reference.shape)} in this run"
            )


def fact(facts: Mapping[str, Any], name: str, *kinds: type) -> Any:
    """Return one of the facts; `CheckpointError` where it is missing or of another type."""
    value = facts.get(name)
    if name not in facts or not isinstance(value, kinds) or isinstance(value, bool):
        raise unusable(f"{FACTS} has {name}={value!r}")
    return value


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under their names behind a prefix."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with the prefix, without it."""
    start = f"{prefix}/"
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def unusable(reason: str) -> CheckpointError:
    """Return the error for a checkpoint that cannot be used, for this reason."""
    return CheckpointError(
        f"A checkpoint cannot be used: {reason}. Remove it; the run then starts again from its beginning."
    )
