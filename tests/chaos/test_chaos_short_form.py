"""The short form of the chaos suite: faults of many kinds. `make chaos` has a hundred, on more studies."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fault_schedule as kinds
import memory_faults
import pytest
from chaos_studies import StudyKind, StudyPlace, make_material
from clock_faults import SteppedClock
from database_servers import KINDS, folder_of_servers
from disk_faults import missing as no_disk
from disturbances import Machine, Report, disturbed, machine_of
from fault_schedule import Fault, scheduled

pytestmark = [pytest.mark.faults, pytest.mark.slow]

SEED = 0
SHORT = StudyKind(batch_sizes=(8, 10, 12, 14), trials=4, epochs=4)

FAULTS = (
    kinds.LOSS_NAN,
    kinds.WORKER_KILLED,
    kinds.WORKER_STOPPED,
    kinds.ALL_STOPPED_THEN_KILLED,
    kinds.TORN_DATABASE,
    kinds.TORN_CHECKPOINT,
    kinds.CLOCK_BACK,
    kinds.DISK_FULL,
    kinds.MEMORY_KILLS,
    kinds.MEMORY_REFUSED,
)
"""Of each family some: killed, stopped, torn, the clock, the disk, memory, NaN. `make chaos` has the others as well."""


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> StudyPlace:
    """The study that is left alone."""
    folder = tmp_path_factory.mktemp("undisturbed")
    place = StudyPlace(folder / "twin", SHORT, make_material(folder / "material"), "inline")
    place.run_undisturbed()
    return place


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine_of(tmp_path_factory.mktemp("machine")) as machine:
        yield machine


def check(report: Report, lacking: list[str | None]) -> None:
    assert report.wrong == []
    assert report.left == [], "the study ended before"
    assert report.hits <= 2
    if report.not_done:
        pytest.skip(f"NOT DONE HERE: {[fault.kind for fault in report.not_done]}: {list(filter(None, lacking))}")


def test_nothing_is_lost_by_faults_of_many_kinds(machine: Machine, tmp_path: Path, twin: StudyPlace) -> None:
    faults = scheduled(dict.fromkeys(FAULTS, 1), SEED, after=(1, 2))
    report = disturbed(machine, StudyPlace(tmp_path / "study", SHORT, twin.material), twin, faults, SEED)
    check(report, [SteppedClock.missing(), memory_faults.missing(), no_disk()])


@pytest.mark.ray
def test_nothing_is_lost_by_nodes_that_die_and_join(machine: Machine, tmp_path: Path, twin: StudyPlace) -> None:
    given = [Fault(kind, 2) for kind in (kinds.NODE_KILLED, kinds.WORKER_KILLED)]
    place = StudyPlace(tmp_path / "study", SHORT, twin.material, "ray")
    check(disturbed(machine, place, twin, given, SEED), [])


def test_nothing_is_lost_by_a_server_that_is_killed_and_comes_back(
    machine: Machine, tmp_path: Path, twin: StudyPlace
) -> None:
    made = KINDS["postgresql"]
    if made.missing() is not None:
        pytest.skip(f"NOT DONE HERE: {made.missing()}")
    with folder_of_servers() as folder:
        server = made(folder)
        try:
            server.make()
            place = StudyPlace(tmp_path / "study", SHORT, twin.material, storage=server.url())
            given = [Fault(kind, 2) for kind in (kinds.SERVER_KILLED, kinds.WORKER_KILLED, kinds.COORDINATOR_KILLED)]
            check(disturbed(replace(machine, server=server), place, twin, given, SEED), [])
        finally:
            server.stop()
