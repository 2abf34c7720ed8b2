"""A custom model: what of it is drawn for each seed, what it brings along, and its layers from the input upwards."""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from hpsearch.errors import TaskError, nearest
from hpsearch.tasks.layers import first_calls, is_new
from hpsearch.tasks.pretrained import bytes_of
from hpsearch.training.random_states import isolated

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def under_head(names: Iterator[str], head: tuple[str, ...] | None) -> frozenset[str]:
    """Return those names of parameters or buffers that are drawn anew for each seed: all, or those in the head."""
    if head is None:
        return frozenset(names)
    return frozenset(name for name in names if any(name == part or name.startswith(f"{part}.") for part in head))


def check_head(model: nn.Module, head: tuple[str, ...] | None) -> None:
    """Raise TaskError unless each part of the head names parameters of the model."""
    names = [name for name, _ in model.named_parameters()]
    for part in head or ():
        if not under_head(iter(names), (part,)):
            tops = list(dict.fromkeys(name.partition(".")[0] for name in names))
            raise TaskError(
                f"head={part!r} names no parameter of {type(model).__name__}.{nearest(part, [*tops, *names])} Give a "
                f"parameter's name or the beginning of one: its parts are {', '.join(tops)}."
            )


@torch.no_grad()
def draw(model: nn.Module, fresh: nn.Module, head: tuple[str, ...] | None) -> None:
    """Copy the parameters and buffers that each seed draws into a model; `TaskError` where names or shapes differ."""
    for kind in ("parameters", "buffers"):
        into: dict[str, Tensor] = dict(getattr(model, f"named_{kind}")())
        source: dict[str, Tensor] = dict(getattr(fresh, f"named_{kind}")())
        shapes = [{name: tensor.shape for name, tensor in tensors.items()} for tensors in (into, source)]
        if shapes[0] != shapes[1]:
            differing = sorted(
                name for name in into.keys() | source.keys() if _shape(into, name) != _shape(source, name)
            )
            raise TaskError(
                f"make_model makes another model each time: {differing[0]!r} has shape {_shape(into, differing[0])} "
                f"once and {_shape(source, differing[0])} the next time. Let its arguments alone decide the shapes."
            )
        for name in under_head(iter(into), head):
            into[name].copy_(source[name])


def _shape(tensors: Mapping[str, Tensor], name: str) -> tuple[int, ...] | None:
    return tuple(tensors[name].shape) if name in tensors else None


def brought_along(make: Callable[[], nn.Module]) -> tuple[dict[str, Tensor], bool]:
    """Return the parameters and buffers that a factory gives the same under every seed, and whether any differ.

    They are weights that it loads, and constants; its code and the packages' versions decide what it draws.

    Raises:
        TaskError: It gives two models under one seed, so a run could not be repeated.
    """
    states = []
    for seed in (0, 1):
        with isolated(seed):
            model = make()
        if seed == 0:
            _check_repeatable(model, make)
        states.append(model.state_dict())
    same = {name: tensor for name, tensor in states[0].items() if torch.equal(tensor, states[1][name])}
    return same, len(same) < len(states[0])


def _check_repeatable(model: nn.Module, make: Callable[[], nn.Module]) -> None:
    """Check that the factory gives the same model under seed 0 again, bit by bit."""
    with isolated(0):
        again = make()
    first, repeated = ({**dict(made.named_parameters()), **dict(made.named_buffers())} for made in (model, again))
    for name in first.keys() | repeated.keys():
        if _shape(first, name) != _shape(repeated, name):
            draw(model, again, None)  # which says what differs
    for name, tensor in first.items():
        if bytes_of(tensor) != bytes_of(repeated[name]):
            raise TaskError(
                f"make_model gives two models under one seed: {name!r} differs, because it draws outside torch's "
                "and NumPy's global random states (a generator of its own, such as np.random.default_rng(), or memory "
                "that is never filled, torch.empty). A run could not be repeated. Draw with torch.nn.init, torch.rand "
                "or np.random.normal, or seed the generator from them: np.random.default_rng(np.random.randint(2**31))."
            )


def custom_layers(model: nn.Module, head: frozenset[str], run: Callable[[], object]) -> list[list[str]]:
    """Return the paths of the modules below the head: [what comes before the first layer, layer 1, ..., layer n].

    Layers are the model's modules (of a Sequential or ModuleList, and of a module around head and body, its items) in
    the order of their first calls. What has only biases or scales (norms, activations) belongs to the layer before it;
    what holds parameters of the head belongs to none. `head` are names of parameters, and `run` puts one row through
    the model.
    """
    paths = [path for path in _units(model, head) if not is_new(model, path, head)]
    called = first_calls(model, paths, run)
    unused = [path for path in paths if path not in called]
    groups = [[path for path in unused if list(model.get_submodule(path).parameters())]]
    for path in called:
        if any(parameter.ndim > 1 for parameter in model.get_submodule(path).parameters()):
            groups.append([path])
        else:
            groups[-1].append(path)
    return groups


def _units(model: nn.Module, head: frozenset[str], path: str = "") -> Iterator[str]:
    """Yield the paths of the modules that a model is made of, and of the items of the lists among them.

    A module around a whole network, its head included, is taken apart, too: wrappers that scale pixels are such.
    """
    for name, child in model.named_children():
        inner = f"{path}.{name}" if path else name
        inside = {f"{inner}.{parameter}" for parameter, _ in child.named_parameters()}
        is_list = isinstance(child, _CONTAINERS) and not isinstance(model, _CONTAINERS)
        if is_list or (head & inside and not inside <= head):
            yield from _units(child, head, inner)
        else:
            yield inner
