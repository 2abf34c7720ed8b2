from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy_studies import known_of, table, toy_study

import hpsearch as hp
from hpsearch.analysis.timeline import compute
from hpsearch.plan.keys import keys_of_model
from hpsearch.records import Evaluation, History, Origin, Outcome, Run, Segment, Trial, TrialState
from hpsearch.records.checkpoints import CheckpointFolder
from hpsearch.runtime.coordinator import Coordinator
from hpsearch.runtime.prefixes import Prefixes
from hpsearch.training.fine_tune import FineTune

EPOCHS = (1, 2, 3)
STEPS = 5
"""Optimizer steps an epoch of a toy study's fold: 40 rows in batches of 8."""
FOLDS = 3


def space(schedule: str, epochs: Any = EPOCHS, first: int | None = None, **more: Any) -> hp.Space:
    """Return a space of runs that differ in their length, whose literature default, the first trial, has `first`."""
    return hp.Space(
        default=None if first is None else {"epochs": first},
        **{
            "learning_rate": 0.01,
            "batch_size": 8,
            "epochs": hp.Categorical(list(epochs)),
            "lr_scheduler_type": schedule,
            **({} if "warmup_ratio" in more else {"warmup_steps": 2}),
            **more,
        },
    )


def study(folder: Path, schedule: str, *order: int, **settings: Any) -> Any:
    """Return a study of runs of every length, in this order."""
    made = toy_study(folder, space=space(schedule, sorted(order), order[0]), **settings)
    for epochs in order:
        made.enqueue({"epochs": epochs})
    return made


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of every optimizer step that was trained in this process."""
    found: list[int] = []
    real = FineTune._train
    monkeypatch.setattr(FineTune, "_train", lambda run: (found.append(run.step), real(run)))
    return found


def run(study: Any, **more: Any) -> Any:
    return study.run(**{"devices": "inline", "progress": False, **more})


class Lone:
    """What each length of a run measures alone: evaluations, predictions, and the weights at its end."""

    def __init__(self, folder: Path, schedule: str) -> None:
        self.evaluations: dict[str, Any] = {}
        self.values: dict[int, float] = {}
        self.predictions: dict[Any, Any] = {}
        self.ends: dict[str, Any] = {}
        with pytest.MonkeyPatch.context() as patch:
            watch_ends(patch, self.ends)
            for epochs in EPOCHS:
                result = run(study(folder / str(epochs), schedule, epochs))
                known = known_of(folder / str(epochs))
                self.evaluations |= known["evaluations"]
                self.predictions |= known["predictions"]
                self.values[epochs] = result.best.value


def watch_ends(patch: pytest.MonkeyPatch, ends: dict[str, Any]) -> None:
    """Keep the tensors that every run ends with."""
    from hpsearch.runtime.worker import Worker

    real = Worker._end

    def end(worker: Any, order: Any, outcome: Any, point: int, log: str = "") -> Any:
        if point == order.segment.run.horizon:
            ends[order.segment.run.key] = current[0].checkpoint()["state.safetensors"]
        return real(worker, order, outcome, point, log)

    current: list[FineTune] = []
    made = Worker._fine_tune

    def fine_tune(worker: Any, warm: Any, order: Any) -> FineTune:
        current[:] = [made(worker, warm, order)]
        return current[0]

    patch.setattr(Worker, "_fine_tune", fine_tune)
    patch.setattr(Worker, "_end", end)


@pytest.fixture(scope="module")
def lone(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Lone]:
    return {
        schedule: Lone(tmp_path_factory.mktemp(schedule), schedule) for schedule in ("constant", "warmup_stable_decay")
    }


def assert_as_alone(folder: Path, lone: Lone) -> None:
    known = known_of(folder)
    assert known["evaluations"] == lone.evaluations
    assert known["predictions"] == lone.predictions
    assert {trial["config"]["epochs"]: trial["value"] for trial in known["trials"].values()} == lone.values
    assert known["mismatches"] == 0
    assert not list((folder / "toy" / "checkpoints").glob("*"))


SHARED = {"constant": FOLDS * 3 * STEPS, "warmup_stable_decay": FOLDS * (12 + 3 + 2 + 1)}
"""Steps that have to be trained: the longest run's, and with a cooldown that of every other, too."""


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (2, 3, 1)])
@pytest.mark.parametrize("schedule", SHARED)
def test_runs_of_every_length_and_order_are_those_of_lone_studies(tmp_path, lone, steps, monkeypatch, schedule, order):
    ends: dict[str, Any] = {}
    watch_ends(monkeypatch, ends)
    run(study(tmp_path, schedule, *order))
    assert_as_alone(tmp_path, lone[schedule])
    assert len(steps) == SHARED[schedule]
    assert ends  # a shorter run that is adopted whole is never made
    assert all(lone[schedule].ends[key] == tensors for key, tensors in ends.items())
    if schedule == "warmup_stable_decay":
        assert ends.keys() == lone[schedule].ends.keys()


def test_a_linear_schedule_shares_nothing(tmp_path, steps):
    run(study(tmp_path, "linear", *EPOCHS))
    assert len(steps) == FOLDS * sum(EPOCHS) * STEPS


def test_a_warmup_that_grows_with_the_run_shares_nothing(tmp_path, steps):
    run(toy_study(tmp_path, space=space("constant", warmup_ratio=0.2)))
    assert len(steps) == FOLDS * sum(EPOCHS) * STEPS


def test_two_workers_wait_for_each_other_rather_than_train_a_step_twice(tmp_path, lone):
    made = study(tmp_path, "warmup_stable_decay", 2, 3, 1)
    run(made, devices=2)
    assert_as_alone(tmp_path, lone["warmup_stable_decay"])
    results = made.store().reload().results.values()
    assert {Outcome.OK, Outcome.ADOPTED} == {result.outcome for each in results for result in each}
    adopted = [end.point - end.segment.start for each in results for end in each if end.outcome is Outcome.ADOPTED]
    assert sum(adopted) == FOLDS * (3 + 1)  # points within 8 steps of the longest run, and within the first 4


def test_what_is_adopted_is_said_and_takes_no_time(tmp_path, steps):
    result = run(study(tmp_path, "constant", 3, 1))
    history = result.record.store.reload()
    longer, shorter = (next(t for t in history.trials.values() if t.config["epochs"] == epochs) for epochs in (3, 1))
    ends = [history.results[each.key] for each in shorter.runs]
    assert [[(end.outcome, end.point, end.log) for end in each] for each in ends] == [
        [(Outcome.ADOPTED, 2, f"from trial {longer.number}")]
    ] * FOLDS
    assert all(e.seconds == 0 for each in shorter.runs for e in history.of(each.key))
    assert all(e.seconds > 0 for each in longer.runs for e in history.of(each.key))
    shown = result.table().set_index("epochs")[["adopted_epochs", "seconds"]]
    assert shown.loc[1].tolist() == [FOLDS * 1.0, 0.0]
    assert shown.loc[3, "adopted_epochs"] == 0 < shown.loc[3, "seconds"]
    assert compute(history).epochs == FOLDS * 3


@pytest.mark.parametrize("count", [3, 8])
def test_a_killed_study_goes_on_from_what_was_shared(tmp_path, lone, steps, monkeypatch, count):
    """An interrupt at an evaluation leaves things as a kill does: nothing is put in order after it."""
    real, seen = Coordinator._record, []

    def record(coordinator: Any, event: Any) -> Any:
        found = real(coordinator, event)
        seen.append(event)
        if len(seen) == count:
            raise Killed
        return found

    class Killed(BaseException):
        pass

    with monkeypatch.context() as patch:
        patch.setattr(Coordinator, "_record", record)
        patch.setattr(Coordinator, "_put_down", lambda _: None)
        with pytest.raises(Killed):
            run(study(tmp_path, "warmup_stable_decay", 3, 1, 2))
    run(study(tmp_path, "warmup_stable_decay", 3, 1, 2))
    assert_as_alone(tmp_path, lone["warmup_stable_decay"])
    assert len(steps) <= SHARED["warmup_stable_decay"] + 3 * STEPS


def test_without_room_for_checkpoints_the_numbers_are_the_same(tmp_path, lone, steps):
    run(study(tmp_path, "warmup_stable_decay", 3, 1, 2, checkpoint_bytes=0))
    assert_as_alone(tmp_path, lone["warmup_stable_decay"])
    assert len(steps) == FOLDS * sum(EPOCHS) * STEPS


def test_checkpoints_are_left_only_for_runs_that_can_come(tmp_path, monkeypatch):
    left: list[str] = []
    real = CheckpointFolder.write
    monkeypatch.setattr(CheckpointFolder, "write", lambda f, name, *more: (left.append(name), real(f, name, *more)))
    run(study(tmp_path / "alone", "warmup_stable_decay", 3))
    assert left == []
    continuous = space("warmup_stable_decay", learning_rate=hp.Float(1e-3, 1e-1, log=True))
    run(toy_study(tmp_path / "continuous", space=continuous, sampler="random"), trials=2)
    assert left == []
    run(study(tmp_path / "grid", "warmup_stable_decay", 3, 1, 2))
    steps = sorted(int(name.rpartition("-")[2]) for name in left)
    assert steps == [4, 4, 4, 8, 8, 8]


@pytest.mark.slow
@pytest.mark.parametrize("pruner", ["asha", "median"])
def test_with_rungs_and_early_stopping_the_study_is_the_one_without_sharing(tmp_path, monkeypatch, steps, pruner):
    settings: dict[str, Any] = {
        "space": space("warmup_stable_decay", (1, 2, 3, 4), learning_rate=hp.Categorical([1e-3, 1e-2, 0.3])),
        "pruner": pruner, "early_stopping": 1.0, "evaluations_per_epoch": 4,
    }  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr("hpsearch.plan.keys.keys_of_model", without_rows(keys_of_model))
        run(toy_study(tmp_path / "apart", **settings))
    apart = len(steps)
    steps.clear()
    run(toy_study(tmp_path / "shared", **settings))
    assert len(steps) < apart
    one, other = (comparable(known_of(tmp_path / name)) for name in ("apart", "shared"))
    assert one == other
    one, other = (table(tmp_path / name).drop(columns="adopted_epochs") for name in ("apart", "shared"))
    assert one.equals(other)


def without_rows(real: Any) -> Any:
    """Make runs whose steps an epoch are not known, as studies of earlier versions have them: they share nothing."""
    return lambda *arguments: replace(real(*arguments), training_rows=())


def comparable(known: Mapping[str, Any]) -> Mapping[str, Any]:
    for trial in known["trials"].values():
        for each in trial["runs"]:
            del each["steps_per_epoch"]
    return known


# By hand: who waits for whom, and what is left behind


def made(number: int, epochs: int, schedule: str = "warmup_stable_decay", **config: Any) -> Trial:
    """Return a trial of one run of 10 steps an epoch, two evaluation points each."""
    whole = {"learning_rate": 0.01, "epochs": epochs, "warmup_steps": 2, "lr_scheduler_type": schedule, **config}
    run = Run(f"run{number}", whole, 0, 0, 2 * epochs, 10)
    return Trial(number, whole, whole, TrialState.RUNNING, Origin.SAMPLER, (run,))


def history_of(*trials: Trial, **points: int) -> History:
    history = History.of_trials(trials)
    for key, reached in points.items():
        for point in range(1, reached + 1):
            history = history.with_evaluation(Evaluation(key, point, point / 2, 0.1, {"loss": 0.1}, 0.01, point))
    return history


def whole(trial: Trial, start: int = 0) -> Segment:
    return Segment(trial.runs[0], start, trial.runs[0].horizon)


@pytest.fixture
def folder(tmp_path: Path) -> CheckpointFolder:
    return CheckpointFolder(tmp_path / "checkpoints", 10**9)


def test_a_run_leaves_a_checkpoint_where_another_branches_off_and_that_one_waits_for_it(folder):
    longer, shorter = made(0, 3), made(1, 1)
    prefixes, history = Prefixes(folder), history_of(longer, shorter)
    assert prefixes.leave(history, whole(longer), closing=True, goes_on=False) == (8,)
    assert prefixes.waits(history, whole(shorter), [whole(longer)])
    folder.write(prefixes.name("run0", 8), 1, 8, {"state": b"state"})
    history = history_of(longer, shorter, run0=1)
    assert not prefixes.waits(history, whole(shorter), [whole(longer)])
    assert prefixes.checkpoint(history, shorter.runs[0], 1)[1]
    assert prefixes.checkpoint(history, shorter.runs[0], 0) == (None, False)  # it has not taken the point over yet
    assert prefixes.wanted(history, closing=True) == {prefixes.name("run0", 8): True}
    for each in (shorter, longer):
        assert prefixes.wanted(history, closing=True) != {}  # a killed longer one would go on from there, too
        history = history.with_trial(replace(each, state=TrialState.COMPLETE))
    assert prefixes.wanted(history, closing=True) == {}


def test_nobody_waits_for_a_checkpoint_that_cannot_be_kept(folder, tmp_path):
    longer, shorter = made(0, 3), made(1, 1)
    history = history_of(longer, shorter)
    none = Prefixes(CheckpointFolder(tmp_path / "none", 0))
    assert none.leave(history, whole(longer), closing=True, goes_on=False) == ()
    assert not none.waits(history, whole(shorter), [whole(longer)])
    prefixes = Prefixes(folder)
    assert prefixes.leave(history, whole(longer), closing=True, goes_on=False) == (8,)
    assert prefixes.waits(history, whole(shorter), [whole(longer)])
    prefixes.withdraw("run0", 7)
    assert prefixes.waits(history, whole(shorter), [whole(longer)])
    prefixes.withdraw("run0", 8)  # there was no room for it
    assert not prefixes.waits(history, whole(shorter), [whole(longer)])


def test_a_checkpoint_for_others_that_is_refused_is_not_waited_for(tmp_path, monkeypatch):
    """Room for one byte: whatever was promised is taken back as soon as it has come and could not be kept."""
    withdrawn = []
    real = Prefixes.withdraw

    def withdraw(prefixes: Prefixes, run: str, step: int) -> None:
        real(prefixes, run, step)
        withdrawn.append((step, prefixes._promised[run], len(prefixes._checkpoints.runs())))

    monkeypatch.setattr(Prefixes, "withdraw", withdraw)
    run(study(tmp_path, "warmup_stable_decay", 3, 1, 2, checkpoint_bytes=1), devices=2)
    assert withdrawn
    assert all(step not in promised and kept == 0 for step, promised, kept in withdrawn)


def test_who_will_be_measured_whole_waits_without_a_checkpoint(folder):
    longer, shorter = made(0, 3, "constant"), made(1, 1, "constant")
    prefixes, history = Prefixes(folder), history_of(longer, shorter)
    assert prefixes.leave(history, whole(longer), closing=True, goes_on=False) == ()
    assert prefixes.waits(history, whole(shorter), [whole(longer)])
    measured = history_of(longer, shorter, run0=2)
    assert not prefixes.waits(measured, whole(shorter), [whole(longer)])
    assert [number for number, _ in prefixes.sources(measured, shorter.runs[0], 2)] == [0]
    assert prefixes.lent(measured, longer.runs[0], closing=True) == 2


@pytest.mark.parametrize(
    "other",
    [
        made(1, 3, learning_rate=0.02),
        made(1, 3, "linear"),
        made(1, 3, warmup_steps=3),
        pytest.param(made(1, 3), id="a sibling of which nothing was promised"),
    ],
)
def test_nobody_waits_for_a_run_that_spares_it_nothing(folder, other):
    shorter = made(0, 1)
    prefixes, history = Prefixes(folder), history_of(shorter, other)
    assert not prefixes.waits(history, whole(shorter), [whole(other)])
    assert not prefixes.waits(history, whole(shorter), [])


def test_runs_of_which_the_steps_an_epoch_are_not_known_go_their_own_ways(folder):
    trials = [made(0, 3), made(1, 1)]
    unknown = [replace(each, runs=(replace(each.runs[0], steps_per_epoch=0),)) for each in trials]
    prefixes, history = Prefixes(folder), history_of(*unknown, run0=2)
    assert not prefixes.waits(history, whole(unknown[1]), [whole(unknown[0])])
    assert prefixes.sources(history, unknown[1].runs[0], 1) == []
    folder.write("run1", 1, 7, {"state": b"state"})
    assert prefixes.checkpoint(history, unknown[1].runs[0], 1)[0].step == 7


def test_a_paused_siblings_own_checkpoint_is_one_to_go_on_from(folder):
    paused, longer = made(0, 2), made(1, 4)
    folder.write("run0", 2, 10, {"state": b"state"})
    prefixes, history = Prefixes(folder), history_of(paused, longer, run0=2)
    found, inherited = prefixes.checkpoint(history, longer.runs[0], 2)
    assert (found.step, inherited) == (10, True)
    pruned = history.with_trial(replace(paused, state=TrialState.PRUNED))
    assert prefixes.wanted(pruned, closing=True) == {"run0": True}
    folder.write("run0", 4, 20, {"state": b"state"})  # past its own trunk of 16 steps
    assert prefixes.checkpoint(history_of(paused, longer, run0=4), longer.runs[0], 4) == (None, False)


def test_a_shorter_run_that_comes_when_the_others_are_over_has_its_predictions(
    tmp_path: Path, lone: Mapping[str, Lone]
) -> None:
    """What the longer ones were kept for has been dropped by then, for no more trials were coming."""
    made = toy_study(tmp_path, space=space("constant", EPOCHS, 3))
    for epochs in (3, 2):
        made.enqueue({"epochs": epochs})
    run(made, trials=2)
    made.enqueue({"epochs": 1})
    run(made, trials=3)
    assert_as_alone(tmp_path, lone["constant"])
