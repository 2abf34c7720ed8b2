"""The end of a disturbed study: the same as that of its undisturbed twin, and nothing left of what happened to it."""

import contextlib
import os
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import psutil
from chaos_studies import NAME, NO_PRUNER, StudyPlace
from chaos_task import CONTROL
from disturbed_study import DEATH_SECONDS, DisturbedStudy, in_memory
from study_processes import is_alive, until

import hpsearch as hp
from hpsearch.records import Decision

MEASURED = ("seconds", "peak_memory_bytes")


def trials_of(place: StudyPlace) -> dict[int, Mapping[str, Any]]:
    """Return by trial all that is recorded of it but seconds, memory, times of day and how segments ended."""
    study = hp.load(NAME, folder=place.study_folder.parent, storage=place.storage)
    rows = study.result.table().drop(columns=["seconds"]).to_dict("records")
    with contextlib.closing(study.store()) as store:
        history, optuna_trials = store.reload(), store.optuna_study().get_trials(deepcopy=False)
        decisions = [decision for _, decision in store.decisions()]
        is_kept = _is_final if place.kind.pruner != NO_PRUNER else lambda decision: True
        assert not store.mismatches
        return {
            trial.number: {
                "row": {name: repr(value) for name, value in row.items()},
                "trial": asdict(trial),
                "evaluations": [_evaluations(history.of(run.key)) for run in trial.runs],
                "predictions": [_predictions(store, run.key, len(history.of(run.key))) for run in trial.runs],
                "decisions": [asdict(each) for each in decisions if each.trial == trial.number and is_kept(each)],
                "optuna": (told.state.name, told.values, told.params, told.intermediate_values, told.user_attrs),
            }
            for trial, row, told in zip(history.trials.values(), rows, optuna_trials, strict=True)
        }


def _is_final(decision: Decision) -> bool:
    """Whether it ends its trial: racing says of one that waits how many it was compared with by then."""
    return decision.final_state is not None


def _evaluations(evaluations: Any) -> list[Any]:
    return [{name: value for name, value in asdict(each).items() if name not in MEASURED} for each in evaluations]


def _predictions(store: Any, run: str, points: int) -> list[bytes | None]:
    kept = [store.predictions(run, point) for point in range(1, points + 1)]
    return [None if outputs is None else outputs.tobytes() for outputs in kept]


def differences(study: DisturbedStudy, twin: StudyPlace) -> list[str]:
    """Return in what a study's trials differ from its twin's, but for those whose loss or memory was tampered with."""
    found, expected = trials_of(study.place), trials_of(twin)
    if list(found) != list(expected):
        return [f"trials {list(found)}, expected {list(expected)}"]
    sizes = {number: facts["trial"]["config"]["batch_size"] for number, facts in expected.items()}
    compared = [number for number, size in sizes.items() if size not in study.injected]
    assert compared
    return [
        f"trial {number}, {part}: {found[number][part]}\nexpected {expected[number][part]}"
        for number in compared
        for part in expected[number]
        if found[number][part] != expected[number][part]
    ]


def check_no_rule_was_broken(study: DisturbedStudy) -> list[str]:
    """Return what the study says of segments that were lost too often: the schedule lets none be."""
    return [
        f"trial {trial.number} failed: {trial.reason}"
        for trial in study.history().trials.values()
        if trial.state.name == "FAIL"
    ]


# ---------------------------------------------------------------- what is left


def left_processes(study: DisturbedStudy) -> list[str]:
    """Return the processes that carry the study's own variable, and those that it had which nobody waited for."""

    def living() -> list[psutil.Process]:
        others = (process for process in psutil.process_iter() if process.pid != os.getpid())
        if study.cluster is not None:  # its nodes live on
            return study.started()
        return [process for process in others if _is_of(process, study.place)]

    def zombies() -> list[int]:
        return [pid for pid in study.pids if _is_zombie(pid)]

    with contextlib.suppress(AssertionError):  # who lost its parent is waited for by the system's first process, later
        until(lambda: not living() and not zombies(), DEATH_SECONDS)
    return [*(f"{process}: {process.cmdline()}" for process in living()), *(f"zombie {pid}" for pid in zombies())]


def _is_of(process: psutil.Process, place: StudyPlace) -> bool:
    with contextlib.suppress(psutil.Error, OSError):
        return process.environ().get(CONTROL) == str(place.control) and is_alive(process)
    return False


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return False


def left_files(study: DisturbedStudy, twin: StudyPlace) -> list[str]:
    """Return the files that an undisturbed study does not leave, but for the logs that tell what happened."""
    found = {name for name in _names(study.place) if not name.startswith(f"runs/{NAME}/logs/")}
    expected = _names(twin)
    shared = [name for name in in_memory() - study.others if _is_ours(name, study.pids)]
    elsewhere = ("temporary/", *([] if study.place.storage is None else [f"runs/{NAME}/study.db"]))
    missing = (f"missing: {name}" for name in expected - found if not name.startswith(elsewhere))
    return [*sorted(found - expected), *shared, *sorted(missing)]


def _names(place: StudyPlace) -> set[str]:
    """Return the names of the files below a study's folders, with the numbers of processes and cores left out."""
    folders = [place.study_folder.parent, place.folder / "temporary"]
    return {
        re.sub(r"\d{3,}|(?<=cpu-)\d+", "#", str(path.relative_to(place.folder)))
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
    }


def _is_ours(name: str, pids: set[int]) -> bool:
    return bool(set(map(int, re.findall(r"\d{3,7}", name))) & pids)


def database_faults(study: DisturbedStudy) -> list[str]:
    if study.place.storage is not None:
        return []
    return [row[0] for row in study.rows("pragma integrity_check") if row[0] != "ok"]


def bytes_of(place: StudyPlace) -> int:
    return sum(path.stat().st_size for path in place.study_folder.rglob("*") if path.is_file())


def found_wrong(study: DisturbedStudy, twin: StudyPlace) -> list[str]:
    """Return all that is wrong with a disturbed study that has ended."""
    return [
        *(f"lost: {each}" for each in study.lost),
        *(f"left: {each}" for each in left_processes(study)),
        *(f"left file: {each}" for each in left_files(study, twin)),
        *(f"database: {each}" for each in database_faults(study)),
        *check_no_rule_was_broken(study),
        *differences(study, twin),
    ]
