"""Mistakes about Ray clusters."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator

import pytest
import ray_nodes
from mistake import Mistake
from ray_nodes import ON_LOOPBACK, RayCluster

from hpsearch.errors import UsageError

os.environ.update(ON_LOOPBACK)  # before anything here imports Ray

NOBODY = "ray://127.0.0.1:9"
"""An address where nothing listens."""


class _RayIsMissing:
    def find_spec(self, name: str, *_: object) -> None:
        if name == "ray":
            raise ModuleNotFoundError("No module named 'ray'", name=name)


@contextlib.contextmanager
def _without_ray() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.delitem(sys.modules, "ray", raising=False)
        patched.setattr(sys, "meta_path", [_RayIsMissing(), *sys.meta_path])
        yield


def _started_by(code: str) -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Return the making of a cluster that is started by other versions, or says so."""

    @contextlib.contextmanager
    def started() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(ray_nodes, "START", f"{code}\n{ray_nodes.START}")
            with _one_node():
                yield

    return started


_OTHER_RAY = "import ray\nray.__version__ = '2.51.0'"
_OTHER_PYTHON = "from ray._private import utils\nutils.compute_version_info = lambda: (utils.ray.__version__, '3.10.4')"


@contextlib.contextmanager
def _one_node() -> Iterator[None]:
    """A cluster of one core."""
    with RayCluster(1) as cluster:
        os.environ.update(cluster.environment)
        yield


def _on(what: str, devices: str, *says: str, **more: object) -> Mistake:
    call = f"study.run(trials=2, devices={devices!r}, progress=False)"
    command = f"run study.py --trials 2 --devices {devices}"
    return Mistake(what, says, UsageError, call=call, command=command, **more)  # type: ignore[arg-type]


GROUPS = {
    "Ray clusters": [
        _on("a misspelt cluster: `raay`", "raay", "devices='raay'", "Did you mean 'ray'?"),
        _on("a cluster's workers without a number: `ray:`", "ray:", "devices='ray:'", "'ray:8'"),
        _on("no workers on a cluster: `ray:0`", "ray:0", "devices='ray:0'", "'ray:8'"),
        _on("fewer than no workers: `ray:-1`", "ray:-1", "devices='ray:-1'", "'ray:8'"),
        _on("a cluster's address without a host: `ray://`", "ray://", "devices='ray://'", "'ray://host:10001'"),
        _on("no Ray installed", "ray", "Ray cannot be imported", "pip install 'hpsearch[ray]'", within=_without_ray),
        _on("a cluster that does not answer", NOBODY, NOBODY, "does not answer", "ray start --head", process=True),
        Mistake(
            "a forecast for a cluster that does not answer",
            (NOBODY, "does not answer"),
            UsageError,
            call=f'study.forecast(trials=2, devices="{NOBODY}")',
            command=f"run study.py --trials 2 --devices {NOBODY} --dry-run",
        ),
        Mistake(
            "as many trials on a cluster's GPU as pay",
            ("trials_per_device='auto'", "give a number"),
            UsageError,
            call='study.run(trials=2, devices="ray", trials_per_device="auto", progress=False)',
            command="run study.py --trials 2 --devices ray --trials-per-device auto",
        ),
        _on(
            "a cluster without the GPUs asked for: `ray:gpu`",
            "ray:gpu",
            "devices='ray:gpu'",
            "no node of the Ray cluster has one (1 node",
            "devices='ray:cpu'",
            within=_one_node,
        ),
        _on(
            "a cluster of another version of Ray",
            "ray",
            "runs other versions than this process",
            "it was started with Ray 2.51.0 and Python 3.",
            "and here are Ray ",
            "Install the cluster's versions",
            within=_started_by(_OTHER_RAY),
            quotes=True,
        ),
        _on(
            "a cluster of another version of Python",
            "ray",
            "runs other versions than this process",
            " and Python 3.10.4, and here are Ray ",
            "Install the cluster's versions",
            within=_started_by(_OTHER_PYTHON),
            quotes=True,
        ),
    ],
}
