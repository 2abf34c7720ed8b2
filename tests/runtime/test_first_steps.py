"""The first steps of a configuration: what is chosen, and how steps are told from what is around them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from forecast_samples import BOTH
from toy_studies import toy_study
from virtual_pool import VirtualPool

from hpsearch.errors import TaskError
from hpsearch.records import Evaluation, Outcome, Slot
from hpsearch.runtime.first_steps import (
    MEASURED,
    POINTS,
    STEPS,
    NoMemoryError,
    _Briefs,
    _step,
    _Steps,
    _tokens,
    _train,
    new_shapes,
    some_of,
)
from hpsearch.runtime.messages import Ended, Event, Train, Workload
from hpsearch.runtime.occupancy import Occupancy
from hpsearch.runtime.pools.places import offered
from hpsearch.runtime.study_run import workload_of
from hpsearch.training.numerics import detect_environment, resolve_numerics


def steps(*seconds):
    """Return the steps of a slot whose points took so long."""
    made = _Steps()
    made.evaluations = [
        Evaluation("run", point, 1.0, 1.0, {}, 1e-3, 8, seconds=each) for point, each in enumerate(seconds, 1)
    ]
    return made


def test_a_step_is_what_points_take_beside_an_evaluation_and_the_first_ones_warm_up():
    runs = [steps(5.0 + 4 * 0.5 + 1.0, *(3 * [4 * 0.5 + 1.0])) for _ in range(2)]
    step, error, warming = _step(runs, 1.0, STEPS)
    assert (step, error, warming) == (pytest.approx(0.5), 0.0, pytest.approx(5.0))
    uneven = [steps(3.0, 3.0, 4.0, 2.0)]
    step, error, _ = _step(uneven, 1.0, STEPS)
    assert step == pytest.approx((2 + 3 + 1) / 12)
    assert error == pytest.approx(np.std([2, 3, 1], ddof=1) / np.sqrt(3) * POINTS / STEPS)


def test_of_few_steps_all_count():
    assert _step([steps(2.0, 1.0, 2.0, 1.0)], 1.0, 2) == (
        pytest.approx(1.0),
        pytest.approx(np.sqrt(1 / 3) / 2 * 2),
        0.0,
    )
    assert _step([steps(0.5, 0.5, 0.5, 0.5)], 1.0, 2)[0] > 0  # noise: an evaluation took longer than all of it


def test_a_small_a_default_and_a_large_one_are_chosen_each_of_another_shape():
    configs = [{"freeze_layers": frozen, "batch_size": batch} for frozen in (0, 3, 6) for batch in (8, 16)]
    chosen = some_of(configs, configs[2])
    assert [(each["freeze_layers"], each["batch_size"]) for each in chosen] == [(3, 8), (0, 16), (6, 8)]
    assert some_of([configs[0]] * 3, configs[0]) == [configs[0]]


@pytest.fixture
def workload(tmp_path):
    study = toy_study(tmp_path)
    return workload_of(study.plan, resolve_numerics(detect_environment("cpu")))


def test_steps_are_of_a_sample_of_rows_and_an_evaluation_is_of_all_that_are_held_out(workload):
    train, held_out = workload.folds[0]
    config = {**workload.example, "batch_size": 4, "epochs": 1}
    briefs = _Briefs(workload, config, 2)
    ((longest, held),) = briefs.of_evaluations.folds
    rows, _, halved = (each for each, _ in briefs.of_steps.folds)
    assert (len(longest), len(held), len(rows), briefs.steps) == (4, len(held_out), 8, 2)
    assert set(halved) <= set(rows) <= set(train)
    assert len(halved) == 4
    assert briefs.scale == briefs.padding == 1.0  # the toy's rows are of one length
    assert _Briefs(workload, {**config, "batch_size": len(train) + 1}, 2).steps == 1


class Shared(VirtualPool):
    """Two workers on one device, on which a trial beside another runs out of memory, and where none fits, each."""

    def __init__(self, workload: Workload, *, fits: bool) -> None:
        super().__init__(2, lambda _: 1.0)
        self.prepare(workload)
        self.occupancy, self.fits = Occupancy("cpu", 2), fits

    def idle(self) -> Sequence[Slot]:
        return offered(super().idle(), [slot for slot, _ in self.training()], {"cpu": self.occupancy.trials})

    def submit(self, slot: Slot, order: Train) -> None:
        self.occupancy.began(slot.index, order)
        super().submit(slot, order)

    def _ended(self, index: int, outcome: Outcome) -> Iterator[Event]:
        has_room = self.fits and len(self.training()) == 1
        for event in super()._ended(index, outcome if has_room else Outcome.OUT_OF_MEMORY):
            is_end = isinstance(event, Ended)
            yield Ended(event.study, self.occupancy.ended(index, event.result)) if is_end else event


def test_steps_that_ran_out_of_memory_beside_others_are_tried_again_among_fewer(workload):
    pool = Shared(workload, fits=True)
    runs = _train(pool, workload, workload.example, MEASURED, 2, pool.slots())
    assert [len(run.evaluations) for run in runs] == [2] * 2
    assert [index for index, *_ in pool.spans] == [0, 1, 0]
    pool = Shared(workload, fits=False)
    with pytest.raises(NoMemoryError, match=r"The first steps of a configuration .* failed: out_of_memory"):
        _train(pool, workload, workload.example, MEASURED, 2, pool.slots())


def test_a_worker_that_cannot_start_is_not_waited_for(workload):
    pool, gone = VirtualPool(1, lambda _: 1.0), Slot(1, ("cuda:0",))
    pool.prepare(workload)
    assert len(_train(pool, workload, workload.example, MEASURED, 2, [*pool.slots(), gone])) == 1
    with pytest.raises(TaskError, match=r"No worker was left on cuda:0 .* Make the forecast on other devices"):
        _train(pool, workload, workload.example, MEASURED, 2, [gone])


def test_a_few_rows_are_padded_more_than_many():
    lengths = np.random.default_rng(0).integers(5, 60, 2000)
    assert _tokens(lengths[:64], 8) > 1.1 * _tokens(lengths, 8)
    assert _tokens(np.full(64, 7), 8) == 7.0


def test_shapes_that_were_not_tried_are_counted(workload):
    config = {**workload.example, "batch_size": 8}
    other = {**config, "batch_size": 16}
    tried = [BOTH[0]]
    assert new_shapes(workload, [config, other], tried) > new_shapes(workload, [config], tried) > 0
    known = [replace(BOTH[0], shapes=_Briefs(workload, each, 128).shapes) for each in (config, other)]
    assert new_shapes(workload, [config, other, {**config, "learning_rate": 1.0}], known) <= 2  # of an epoch's end
