"""Several processes that make and run one study at once: one runs it, the others are told who does."""

import multiprocessing
import os
import re
from pathlib import Path
from typing import Any

import pytest
from database_servers import Server
from records_samples import add_trial, url_of

from hpsearch.errors import StudyExistsError
from hpsearch.records.store import Store

RACERS = 4


def race(url: str, name: str, start: Any, over: Any, answers: Any) -> None:
    """Make a study or open it, as a coordinator does, and run it until the others have been refused."""
    start.wait()
    try:
        try:
            store = Store.create(url, name, {})
        except StudyExistsError:
            store = Store.open(url, name)
        with store:
            store.acquire()
            add_trial(store, os.getpid())
            answers.put((os.getpid(), ""))
            over.wait(60)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is an answer
        answers.put((os.getpid(), f"{type(error).__name__}: {error}"))


def raced(url: str, name: str) -> list[tuple[int, str]]:
    context = multiprocessing.get_context("fork")
    start, over, answers = context.Barrier(RACERS), context.Event(), context.Queue()
    racers = [context.Process(target=race, args=(url, name, start, over, answers)) for _ in range(RACERS)]
    for racer in racers:
        racer.start()
    found = [answers.get(timeout=120) for _ in racers]
    over.set()
    for racer in racers:
        racer.join()
    return found


def check(url: str, rounds: int) -> None:
    for index in range(rounds):
        found = raced(url, f"study {index}")
        runs = [pid for pid, error in found if not error]
        assert len(runs) == 1, found
        for _, error in found:
            said = rf"LeaseHeldError: Study 'study {index}' is being run by process {runs[0]} on host .* since 20"
            assert not error or re.match(said, error), error
        with Store.open(url, f"study {index}") as store:
            assert len(store.history.trials) == 1
            store.acquire()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("rounds", [2, pytest.param(40, marks=pytest.mark.extended)])
def test_of_those_who_make_a_study_in_a_file_one_runs_it(tmp_path: Path, rounds: int) -> None:
    check(url_of(tmp_path), rounds)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.extended)])
def test_of_those_who_make_a_study_on_a_server_one_runs_it(server: Server, rounds: int) -> None:
    check(server.url(), rounds)
    server.empty()  # the tables are made by several at once, too
    check(server.url(), 1)
