"""One run of a study: a pool made ready, the coordinator on it, what is shown meanwhile and said at the end."""

import contextlib
import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpsearch.display.display import Display, Guarded
from hpsearch.display.line import ProgressLine, chosen_display, how_to_resume
from hpsearch.display.standing import Watch
from hpsearch.plan.description import Description
from hpsearch.plan.keys import run_keys
from hpsearch.policy.policy import Policy
from hpsearch.policy.samplers import Sampler
from hpsearch.records.checkpoints import CheckpointFolder
from hpsearch.records.store import Store
from hpsearch.runtime.asking import Asker
from hpsearch.runtime.coordinator import Coordinator
from hpsearch.runtime.devices import INLINE, Devices, inventory, slots
from hpsearch.runtime.messages import Probe
from hpsearch.runtime.pools import InlinePool, LocalPool, Pool
from hpsearch.runtime.prefixes import Prefixes
from hpsearch.runtime.prospects import Prospects
from hpsearch.runtime.telling import telling
from hpsearch.training.numerics import Numerics, resolve_numerics

if TYPE_CHECKING:
    from hpsearch.study import Study

logger = logging.getLogger("hpsearch")


class StudyRun:
    """Brings a study forward, on some devices, until it has its trials or its time is up.

    Args:
        study: The study, its store's lease held.
        store: Its store.
        sampler: What proposes.
        trials: Trials in all, or None.
        deadline: When to pause, in seconds of `time.monotonic`, or None.
        progress: What is shown meanwhile, as in `Study.run`.

    Attributes:
        interruption: Set when Ctrl-C or SIGTERM has paused the study.
    """

    def __init__(
        self,
        study: "Study",
        store: Store,
        sampler: Sampler,
        *,
        trials: int | None,
        deadline: float | None,
        progress: bool | str,
    ) -> None:
        self.interruption = threading.Event()
        self._study = study
        self._store = store
        self._sampler = sampler
        self._trials = trials
        self._deadline = deadline
        self._progress = progress
        self._coordinator: Coordinator | None = None
        self._was_stopped = False

    def on(self, pool: Pool) -> None:
        """Run on a pool, which is the caller's to close."""
        self._coordinate(pool)
        self._say_how_it_ended()

    def stop(self) -> None:
        """Pause the study, from a callback or another thread."""
        self._was_stopped = True
        if self._coordinator is not None:
            self._coordinator.stop()

    def _coordinate(self, pool: Pool) -> None:
        study, store = self._study, self._store
        numerics = settled_numerics(study, store, pool)
        policy = Policy(
            study.objective.name, study.evaluations_per_epoch, study.early_stopping, study.resolved_pruner()
        )
        asker = Asker(store, study.space, self._sampler, run_keys(study, numerics), study.complete, study.default)
        checkpoints = CheckpointFolder(study.folder / "checkpoints", study.checkpoint_bytes)
        prospects = Prospects(
            study.space, store.queued, study.default, study.complete,
            is_grid=self._sampler.is_finite, points=getattr(study.sampler, "points", None),
        )  # fmt: skip
        prefixes = Prefixes(checkpoints, prospects.of, study.task.base_key)
        logs = study.folder / "logs"
        with telling(study, study.callbacks, logs) as callbacks, self._display(pool) as displays:
            self._coordinator = Coordinator(
                store, pool, asker.ask, self._trials, policy, checkpoints,
                logs=logs, prefixes=prefixes, observers=[*displays, *callbacks], deadline=self._deadline,
            )  # fmt: skip
            if self._was_stopped:  # while the models were being loaded
                self._coordinator.stop()
            with _interruptible(self._coordinator, self.interruption):
                for display in displays:
                    display.observe(store.history, None)
                self._coordinator.run()

    @contextlib.contextmanager
    def _display(self, pool: Pool) -> Iterator[Sequence[Display]]:
        """Yield what shows how the study stands, if anything does."""
        study = self._study
        about = study.name, study.objective.name, self._trials, study.evaluations_per_epoch
        watch = Watch(
            study.name, study.folder, *about[1:],
            test_shares=[study.folds.test_share(index) for index in range(len(study.folds.pairs))],
            slots=pool.slots(), training=pool.training, deadline=self._deadline, is_pausing=self.interruption.is_set,
        )  # fmt: skip
        chosen = chosen_display(self._progress, watch, lambda in_place: ProgressLine(*about, in_place=in_place))
        displays = [] if chosen is None else [Guarded(chosen)]
        try:
            yield displays
        finally:
            for display in displays:
                display.close()

    def _say_how_it_ended(self) -> None:
        """Say what was enqueued and not tried, and how a paused study goes on."""
        study, history, trials = self._study, self._store.history, self._trials
        waiting = len(self._store.queued())
        ended = trials is not None and len(history.trials) >= trials and not history.unfinished()
        if ended and waiting:
            logger.warning(
                "%d enqueued configurations were not tried, because the study has its %d trials: run it with more.",
                waiting,
                trials,
            )
        out_of_time = self._deadline is not None and time.monotonic() >= self._deadline
        left = self.interruption.is_set() or self._was_stopped or out_of_time or history.unfinished()
        if not ended and left and not study.is_temporary:
            description = Description.from_json(self._store.description)
            sys.stderr.write(f"Paused. {how_to_resume(description, study.folder, study.storage)}\n")


def settled_numerics(study: "Study", store: Store, pool: Pool) -> Numerics:
    """Make the pool ready with the numerics stored with the study; its first run resolves and stores them.

    On a GPU the micro-batch is part of them: probed once, on the longest rows, with nothing frozen.
    """
    stored = Description.from_json(store.description)
    if stored.numerics is not None:
        numerics = Numerics.from_dict(stored.numerics)
        pool.prepare(study.workload(numerics))
        return numerics
    deterministic = True if study.deterministic else None  # None: as the device has it; a CPU always is
    numerics = resolve_numerics(
        pool.environment(),
        precision=study.precision,
        deterministic=deterministic,
        attention=study.prepared.attention,
    )
    pool.prepare(study.workload(numerics))
    if numerics.device_type == "cuda":
        config = largest_config(study)
        fits = int(config["batch_size"])
        for chosen in each_choice(study, config):
            fits = pool.probe(Probe(study.name, chosen, fits))
        if fits < int(config["batch_size"]):
            numerics = replace(numerics, micro_batch=fits)
            pool.prepare(study.workload(numerics))
    study.keep_description(Description.of(study, numerics=numerics.to_dict(), goal=stored.goal, test=stored.test))
    return numerics


def largest_config(study: "Study") -> dict[str, Any]:
    """Return a training config with the largest batch of the space, which needs as much memory as any."""
    searched = study.space.parameters.get("batch_size")
    given = {"batch_size": max(int(str(edge)) for edge in searched.edges())} if searched is not None else {}
    return study.task.complete({**study.space.fixed, **given})


def each_choice(study: "Study", config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a completed config with each of the models in turn, or alone where there is nothing to choose."""
    if study.choices is None:
        return [dict(config)]
    return [{**config, study.choices.name: choice} for choice in study.choices.sources]


@contextlib.contextmanager
def open_pool(devices: Devices, imports: Sequence[str] = ()) -> Iterator[Pool]:
    """Yield a pool on these devices, whose workers import these modules as they start."""
    found = slots(devices, inventory())
    pool: Pool = InlinePool(found[0]) if devices == INLINE else LocalPool(found, imports=imports)
    try:
        yield pool
    finally:
        pool.close()


@contextlib.contextmanager
def _interruptible(coordinator: Coordinator, interruption: threading.Event) -> Iterator[None]:
    """Let the first Ctrl-C (or SIGTERM) pause the study cleanly, and set the event; the second one ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def pause(_number: int, _frame: Any) -> None:
        interruption.set()
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, before[name])
        coordinator.stop()

    before = {name: signal.signal(name, pause) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
