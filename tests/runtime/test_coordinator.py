import logging
import sqlite3
import threading
from dataclasses import replace

import numpy as np
import pytest
from test_fitting import Device, Narrow, pretended
from toy_studies import known_of, table, toy_study

import hpsearch as hp
from hpsearch.errors import LeaseLostError, StudyFailedError
from hpsearch.policy.pruner import Pruner
from hpsearch.records import Action, Fit, TrialState
from hpsearch.runtime.coordinator import Coordinator
from hpsearch.runtime.messages import Checkpointed, Ended, Evaluated
from hpsearch.runtime.pools.base import TimeIsUpError
from hpsearch.runtime.pools.inline import InlinePool


class PruneAtOnce(Pruner):
    """Prunes every trial but the first wherever it may."""

    def reason_to_prune(self, history, trial):
        return "at once" if trial.number else None


@pytest.fixture
def submitted(monkeypatch):
    """Every order that an inline pool was given."""
    orders = []
    real = InlinePool.submit
    monkeypatch.setattr(InlinePool, "submit", lambda pool, slot, order: (orders.append(order), real(pool, slot, order)))
    return orders


def states_in_optuna(study) -> list[str]:
    return [trial.state.name for trial in study.optuna.get_trials(deepcopy=False)]


def run(study, trials=None, **more):
    return study.run(trials=trials, devices="inline", progress=False, **more)


def test_what_was_recorded_and_not_decided_is_decided_on_taking_up(tmp_path, monkeypatch, submitted):
    real = Coordinator.settle

    def interrupted(coordinator, number):
        history = coordinator.store.history
        if number == 0 and all(history.point(run) == run.horizon for run in history.trials[0].runs):
            raise KeyboardInterrupt
        real(coordinator, number)

    with monkeypatch.context() as patched:
        patched.setattr(Coordinator, "settle", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(toy_study(tmp_path), 1)
    study = toy_study(tmp_path)
    assert study.store().history.trials[0].state is TrialState.WAITING
    trained = len(submitted)
    run(study, 1)
    assert study.store().history.trials[0].state is TrialState.COMPLETE
    assert len(submitted) == trained
    assert states_in_optuna(study) == ["COMPLETE"]


def test_observers_see_a_trial_run_before_it_is_measured_and_wait_after_a_pause(tmp_path, monkeypatch):
    seen = []
    real = Coordinator._notify

    def tell(coordinator, trial):
        history = coordinator.store.history
        seen.append(([each.state for each in history.trials.values()], sum(map(len, history.evaluations.values()))))
        coordinator.stop()
        real(coordinator, trial)

    monkeypatch.setattr(Coordinator, "_notify", tell)
    run(toy_study(tmp_path, {"pause": 0.01}), 2)
    assert seen[0] == ([TrialState.RUNNING], 0)
    assert seen[-1][0] == [TrialState.WAITING]


def test_what_a_worker_finds_after_its_trial_was_pruned_is_not_recorded(tmp_path, monkeypatch):
    late = []

    class LatePool(InlinePool):
        """Its worker measures one point more before it hears that it is to stop."""

        def completed(self, timeout):
            for event in super().completed(timeout):
                if isinstance(event, Evaluated):
                    self.last = event
                if isinstance(event, Ended) and self._stop is not None:
                    point = self.last.evaluation.point + 1
                    late.append((self.last.evaluation.run, point))
                    yield replace(self.last, evaluation=replace(self.last.evaluation, point=point))
                yield event

    monkeypatch.setattr("hpsearch.runtime.pools.inline.InlinePool", LatePool)
    monkeypatch.setattr("hpsearch.policy.pruners.resolve_pruner", lambda *_: PruneAtOnce())
    study = toy_study(tmp_path, reproducible=False)  # a plan hides what is found too late
    run(study, 3)
    history = study.store().history
    assert [trial.state for trial in history.trials.values()] == [TrialState.COMPLETE, *[TrialState.PRUNED] * 2]
    assert [point for _, point in late] == [5, 2, 2]
    for key, point in late:
        assert len(history.of(key)) == point - 1


def test_the_first_trials_failing_alike_end_the_study_with_the_traceback(tmp_path):
    study = toy_study(tmp_path, {"trouble": "raise"})
    with pytest.raises(StudyFailedError, match=r"(?s)first 3 trials.*toy_task\.py.*RuntimeError: the toy is broken"):
        run(study)
    assert states_in_optuna(study) == ["FAIL"] * 3
    assert len(list((study.folder / "logs").iterdir())) == 3


def test_failures_after_a_trial_that_was_trained_end_no_study(tmp_path, monkeypatch):
    def trouble_at_16(learner, rows):
        if rows == 16:
            raise RuntimeError("the toy is broken")

    with pytest.raises(StudyFailedError):
        run(toy_study(tmp_path, {"trouble": "raise"}))
    monkeypatch.setattr("toy_task.ToyLearner._trouble", trouble_at_16)  # mended, but for large batches
    study = toy_study(tmp_path, {"trouble": "raise"})
    study.enqueue({"learning_rate": 0.02, "batch_size": 8, "epochs": 1})  # comes next, and is trained
    run(study)
    found = [trial.state for trial in study.store().history.trials.values()]
    assert len(found) == 13
    assert found[:3] == [TrialState.FAIL] * 3
    assert found[3] is TrialState.COMPLETE
    assert TrialState.FAIL in found[4:]


def test_a_failing_trial_ends_alone_and_names_its_log(tmp_path, caplog):
    study = toy_study(tmp_path, {"trouble": "raise at 16"})
    with caplog.at_level(logging.WARNING, "hpsearch"):
        result = run(study)
    history = study.store().history
    for trial in history.trials.values():
        expected = TrialState.FAIL if trial.config["batch_size"] == 16 else TrialState.COMPLETE
        assert trial.state is expected
    failed = history.finished(TrialState.FAIL)
    assert len(failed) == 6
    for trial in failed:
        log = study.folder / "logs" / f"trial-{trial.number:04d}-fold-0.log"
        assert "RuntimeError: the toy is broken" in log.read_text()
        assert f"logs/{log.name}" in caplog.text
    assert set(result.table().query("state == 'fail'")["number"]) == {trial.number for trial in failed}


@pytest.mark.parametrize("budget", [1, 60_000])
def test_checkpoints_stay_within_their_budget_and_change_nothing(tmp_path, caplog, monkeypatch, budget):
    def weigh(coordinator, trial):
        if (checkpoints := coordinator.checkpoints).folder.exists():
            sizes.append(sum(path.stat().st_size for path in checkpoints.folder.rglob("*") if path.is_file()))
        told(coordinator, trial)

    sizes: list[int] = []
    told = Coordinator._notify
    run(toy_study(tmp_path / "undisturbed"), 2)
    monkeypatch.setattr(Coordinator, "_notify", weigh)
    study = toy_study(tmp_path / "tight", checkpoint_every=0.0, checkpoint_bytes=budget)
    with caplog.at_level(logging.WARNING, "hpsearch"):
        run(study, 2)
    assert ("byte budget" in caplog.text) == (budget == 1)
    assert (max(sizes, default=0) > 0) == (budget > 1)
    assert max(sizes, default=0) <= budget
    assert not list((study.folder / "checkpoints").glob("*"))
    assert known_of(tmp_path / "tight") == known_of(tmp_path / "undisturbed")


def test_the_youngest_trials_give_up_their_checkpoints_first(tmp_path, monkeypatch):
    def checkpoints(coordinator):
        history = [coordinator._add_trial() for _ in range(3)][-1]
        keys = [trial.runs[0].key for trial in history.trials.values()]
        for key in (keys[0], keys[2], keys[1]):
            coordinator._record(Checkpointed("toy", key, 1, 1, {"weights": bytes(600)}))
        kept.append(coordinator.checkpoints.runs())
        coordinator._record(Checkpointed("toy", "of a trial that has ended", 1, 1, {"weights": bytes(600)}))
        kept.append(coordinator.checkpoints.runs())
        expected.update(keys[:2])

    kept, expected = [], set()
    monkeypatch.setattr(Coordinator, "run", checkpoints)
    run(toy_study(tmp_path, checkpoint_bytes=2000))
    assert kept == [expected, expected]


def test_callbacks_hear_of_each_ended_trial_once_it_is_durable(tmp_path):
    heard = []

    def callback(study, trial):
        stored = {t.number: t.state.name for t in study.optuna.get_trials()}
        heard.append((trial.number, trial.state.name, stored[trial.number]))

    run(toy_study(tmp_path, callbacks=[callback]), 3)
    assert heard == [(number, "COMPLETE", "COMPLETE") for number in range(3)]


def test_a_callback_can_stop_the_study(tmp_path):
    study = toy_study(tmp_path, callbacks=[lambda study, trial: study.stop() if trial.number == 1 else None])
    run(study)
    assert states_in_optuna(study) == ["COMPLETE", "COMPLETE"]
    study.callbacks = ()
    run(study)
    assert states_in_optuna(study) == ["COMPLETE"] * 12


def test_a_timeout_pauses_and_a_later_run_ends_as_if_nothing_had_been(tmp_path):
    run(toy_study(tmp_path / "undisturbed"), 4)
    for timeout in (1.0, 2.0, 4.0, 8.0, 16.0):
        # Each time anew: once it knows what a segment takes, it begins none that the timeout would cut off.
        timed = tmp_path / f"{timeout:g} s"
        study = toy_study(timed, {"pause": 0.2})
        run(study, 4, timeout=timeout)
        checkpoints = study.folder / "checkpoints"
        if checkpoints.is_dir():  # else a slow machine had not begun to train by then
            break
    assert list(checkpoints.iterdir())
    assert "WAITING" in states_in_optuna(study)
    assert "RUNNING" not in states_in_optuna(study)
    study.store().close()
    # The pause is a setting of the task, which decides no number: without it the rest takes no time.
    run(toy_study(timed), 4)
    assert table(timed).equals(table(tmp_path / "undisturbed"))
    assert known_of(timed) == known_of(tmp_path / "undisturbed")


def out_of_time(patched, kind):
    """Have a pool's time be up as soon as it is asked what fits, of a study that has begun."""

    def begin(coordinator):
        coordinators.append(coordinator)
        begun(coordinator)

    def probe(pool, order, slot=None):
        if order.is_first:
            return probed(pool, order, slot)
        coordinators[0].limits.deadline = 0.0
        raise TimeIsUpError("The study's time was up before a worker was ready.")

    coordinators, begun, probed = [], Coordinator.begin, kind.probe
    patched.setattr(Coordinator, "begin", begin)
    patched.setattr(kind, "probe", probe)


@pytest.mark.parametrize("are_several", [False, True], ids=["alone", "several"])
def test_a_run_out_of_memory_is_fitted_by_the_next_call_where_time_was_up(tmp_path, monkeypatch, capsys, are_several):
    """Other arguments of one's own model: a worker has to say how it can be trained in less memory."""

    def again(**more):
        task = hp.CustomTask(Narrow, train=(np.zeros((48, 6), np.float32), np.arange(48) % 3))
        space = hp.Space(width=hp.Categorical([4, 8]), learning_rate=1e-2, batch_size=8, epochs=1)
        study = hp.Study("own", task, space, sampler="grid", cv=2, pruner="none", folder=tmp_path)
        return hp.run([study], devices="inline", progress=False, **more)[0] if are_several else run(study, **more)

    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    with monkeypatch.context() as patched:
        out_of_time(patched, InlinePool)
        first = again(timeout=600)
    assert first.record.description.ended_by["limit"] == "timeout"
    assert "Paused." in capsys.readouterr().err
    assert [trial.state for trial in first.history.unfinished()] == [TrialState.WAITING]
    history = again().history
    assert [(trial.state, trial.fit) for trial in history.trials.values()] == [(TrialState.COMPLETE, Fit(4))] * 2


def test_a_shape_is_tried_by_the_next_call_where_time_was_up(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    pretended(monkeypatch, Device)
    space = hp.Space(learning_rate=1e-2, batch_size=hp.Categorical([8, 16, 32]), epochs=1, warmup_ratio=0.1)
    with monkeypatch.context() as patched:
        out_of_time(patched, Device)
        first = toy_study(tmp_path, space=space).run(devices="virtual", progress=False, timeout=600)
    assert first.record.description.ended_by["limit"] == "timeout"
    assert "Paused." in capsys.readouterr().err
    assert [trial.state for trial in first.history.trials.values()] == [TrialState.WAITING]
    history = toy_study(tmp_path, space=space).run(devices="virtual", progress=False).history
    assert {trial.state for trial in history.trials.values()} == {TrialState.COMPLETE}
    fits = {trial.config["batch_size"]: trial.fit for trial in history.trials.values()}
    assert fits == {8: None, 16: Fit(8), 32: Fit(8)}


def test_it_can_be_stopped_from_another_thread_between_two_evaluations(tmp_path):
    study = toy_study(tmp_path, {"pause": 0.1, "rows": 240}, evaluations_per_epoch=1)
    timer = threading.Timer(0.3, study.stop)
    real = InlinePool.submit
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(InlinePool, "submit", lambda *order: (timer.start(), real(*order)))
        run(study, 1)
    timer.join()
    history = study.store().history
    assert history.trials[0].state is TrialState.WAITING
    assert not history.evaluations
    assert list((study.folder / "checkpoints").iterdir())


def test_a_trial_equal_to_an_earlier_one_trains_nothing(tmp_path, submitted):
    space = hp.Space(batch_size=hp.Categorical([8, 16]), epochs=1, learning_rate=0.01)
    study = toy_study(tmp_path, sampler="random", space=space, early_stopping=0.5)
    run(study, 6)
    trials = study.store().history.trials.values()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 6
    for size in (8, 16):
        equal = [(trial.runs, trial.value, trial.point) for trial in trials if trial.params["batch_size"] == size]
        assert all(found == equal[0] for found in equal)
    assert len(submitted) == 6  # three folds of two configurations


def test_a_coordinator_whose_study_was_taken_over_records_nothing_more(tmp_path):
    def take_over(study, trial):
        connection = sqlite3.connect(study.folder / "study.db")
        connection.execute("update hpsearch_lease set token = token + 1, owner = 'another'")
        connection.commit()
        connection.close()

    study = toy_study(tmp_path, callbacks=[take_over])
    with pytest.raises(LeaseLostError, match="taken over"):
        run(study)
    store = toy_study(tmp_path).store()
    assert [trial.state for trial in store.history.trials.values()] == [TrialState.COMPLETE]
    assert len(store.history.evaluations) == 3


def test_early_stops_are_decided_by_the_first_fold_and_recorded(tmp_path):
    space = hp.Space(learning_rate=hp.Float(0.01, 1.0, grid=[0.01, 1.0]), batch_size=8, epochs=6)
    study = toy_study(tmp_path, early_stopping=0.5, space=space)
    run(study)
    store = study.store()
    stopped = {d.trial: d.stop for _, d in store.decisions() if d.action is Action.STOP_EARLY}
    assert stopped
    for number, stop in stopped.items():
        trial = store.history.trials[number]
        assert trial.stop == stop < trial.runs[0].horizon
        assert {len(store.history.of(run.key)) for run in trial.runs} == {stop}
