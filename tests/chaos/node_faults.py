"""Nodes of a Ray cluster that die, all at once or Ray's own process first, that announce their end, that join."""

import contextlib
import importlib.util
from collections.abc import Iterator

import pytest
from chaos_studies import StudyPlace
from disturbed_study import DEATH_SECONDS, PATIENCE, DisturbedStudy
from ray_nodes import RayCluster, RayNode
from study_processes import is_alive, until


def missing() -> str | None:
    """Return why no Ray node can be started here, or None."""
    return None if importlib.util.find_spec("ray") else "the package ray is not installed"


@contextlib.contextmanager
def two_nodes(place: StudyPlace) -> Iterator[RayCluster]:
    """Start a cluster of two nodes of a core each, whose workers are told what those of other pools inherit."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in place.environment().items():
            if name.startswith("CHAOS_"):
                patched.setenv(name, value)
        with RayCluster(cpus=1) as cluster:
            cluster.start(cpus=1)
            yield cluster


def kill_node(study: DisturbedStudy) -> None:
    node = _victim(study)
    node.kill()
    study.cluster.start(cpus=1)


def kill_raylet(study: DisturbedStudy) -> None:
    """What Ray has on the node follows."""
    node = _victim(study)
    workers = node.workers()
    node.kill_raylet()
    until(lambda: not any(map(is_alive, workers)), DEATH_SECONDS)
    node.kill()
    study.cluster.start(cpus=1)


def let_node_leave(study: DisturbedStudy) -> None:
    """What trains there pauses with a checkpoint, then it is gone."""
    node = _victim(study)
    node.drain()
    until(lambda: not node.workers() or not study.is_running(), PATIENCE, study.process.text)
    node.kill()
    study.cluster.start(cpus=1)


def _victim(study: DisturbedStudy) -> RayNode:
    """Return a node, not the first, which is the cluster's; what trains there is hit."""
    study.victims(everybody=True)
    node = study.random.choice([each for each in study.cluster.nodes[1:] if each.processes()])
    there = set(node.workers())
    study.hit(run for worker, run in study.training().items() if worker in there)
    return node
