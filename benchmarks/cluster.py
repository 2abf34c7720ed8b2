"""What a Ray cluster costs: the systems list on one against this machine's own pool, and how many actors are served.

The nine fine-tunes are trained by two workers of this machine and by two actors on a Ray node on it, in turn; what
counts is the time from the first training to the last score, without starting up. Then the real coordinator, with a
thousand trials in its database, keeps many actors busy that only sleep: calls, long polls and messages are real.

    python -m benchmarks cluster [--rounds 3] [--rows 600] [--actors 64] [--seconds 20] [--trials 1000]

A Ray node is started for each part and ended after it, on 127.0.0.1.
"""

import argparse
import contextlib
import importlib.util
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import parties
from benchmarks.jobs import DATA, Job, minilm, trial_list
from benchmarks.measurements import machine, write_measurements
from benchmarks.readme_table import Row, readme_rows

DEVICES = {"local": 2, "ray": "ray:2"}
"""What `devices` is, by pool."""

SLEEPS = (2.0, 0.2)
"""Seconds that a sleeping actor's segment takes."""


@contextlib.contextmanager
def ray_node(cpus: int, variables: dict[str, str]) -> Iterator[None]:
    """Start a cluster of one node that processes started meanwhile find; `variables` are for its workers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:  # a short path
        words = [
            sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--node-ip-address=127.0.0.1",
            f"--port={address.partition(':')[2]}", f"--num-cpus={cpus}", f"--memory={cpus * 4 * 2**30}",
            f"--object-store-memory={2**29}", "--include-dashboard=false", "--disable-usage-stats",
            f"--temp-dir={folder}",
        ]  # fmt: skip
        variables = {**variables, "RAY_enable_worker_prestart": "0", "RAY_memory_monitor_refresh_ms": "0"}
        node = subprocess.Popen(
            words, env={**os.environ, **variables}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        before = os.environ.get("RAY_ADDRESS")
        os.environ["RAY_ADDRESS"] = address
        try:
            _wait_for(address, node)
            yield
        finally:
            del os.environ["RAY_ADDRESS"]
            os.environ |= {} if before is None else {"RAY_ADDRESS": before}
            with contextlib.suppress(ProcessLookupError):
                os.killpg(node.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                node.wait(30)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(node.pid, signal.SIGKILL)


def _wait_for(address: str, node: "subprocess.Popen[bytes]") -> None:
    from hpsearch.runtime.pools.ray_connection import connected

    host, port = address.split(":")
    until = time.monotonic() + 60
    while time.monotonic() < until and node.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection((host, int(port)), timeout=1).close()
            break
        time.sleep(0.2)
    cluster = connected(None)
    while not cluster.nodes() and time.monotonic() < until:
        time.sleep(0.2)
    cluster.leave()


def overhead(data: Path, model: str, rows: int, rounds: int) -> dict[str, Any]:
    """Train the systems list by each pool in turn; return seconds by pool, and whether all scores are the same."""
    configs = trial_list("nine", "linear")
    seconds: dict[str, list[float]] = {name: [] for name in DEVICES}
    startup: dict[str, list[float]] = {name: [] for name in DEVICES}
    scores = []
    with tempfile.TemporaryDirectory(prefix="hpsearch-cluster-") as folder, ray_node(2, {"PYTHONPATH": _path()}):

        def run(name: str) -> parties.Run:
            settings = {"cache": str(Path(folder) / "cache"), "devices": DEVICES[name]}
            return parties.run(Job("hpsearch", configs, str(data), model, rows, folder, settings))

        scores.append(run("local").scores)  # which fills the caches
        for index in range(rounds):
            for name in tuple(DEVICES)[:: 1 if index % 2 == 0 else -1]:
                done = run(name)
                seconds[name].append(done.seconds - done.startup)
                startup[name].append(done.startup)
                scores.append(done.scores)
                print(f"{name:<6} {seconds[name][-1]:.1f} s, after {done.startup:.1f} s of starting", flush=True)
    pairs = [ray / local for local, ray in zip(seconds["local"], seconds["ray"], strict=True)]
    return {
        "seconds": seconds, "startup": startup, "rows": rows, "configs": len(configs),
        "times": statistics.median(seconds["ray"]) / statistics.median(seconds["local"]),
        "low": min(pairs), "high": max(pairs), "scores are the same": all(each == scores[0] for each in scores),
    }  # fmt: skip


def served(actors: int, sleep: float, trials: int, seconds: float) -> dict[str, Any]:
    """Return how many segments a second a coordinator has sleeping actors do, and its share of a core meanwhile."""
    from benchmarks import coordinator, sleeping_actors
    from hpsearch.policy.budget import Budget
    from hpsearch.policy.limits import Limits
    from hpsearch.policy.policy import Policy
    from hpsearch.policy.pruner import Pruner
    from hpsearch.records.checkpoint_folder import CheckpointFolder
    from hpsearch.records.store import Store
    from hpsearch.records.urls import sqlite_url
    from hpsearch.runtime.coordinator import Coordinator
    from hpsearch.runtime.messages import Workload
    from hpsearch.runtime.pools import chosen_pool, ray_transport
    from hpsearch.tasks import Prepared

    given, watch = coordinator.setting(), _Watch(seconds)
    environment = {"PYTHONPATH": _path(), sleeping_actors.SECONDS_VARIABLE: str(sleep)}
    ray_transport.WorkerActor = sleeping_actors.SleepingActor  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory(prefix="hpsearch-cluster-") as temporary, ray_node(actors, environment):
        folder = Path(temporary)
        with Store.create(sqlite_url(folder / "study.db"), coordinator.STUDY, {}) as store:
            store.acquire()
            coordinator.fill(store, given, trials)
            _, start = chosen_pool(f"ray:{actors}")
            with contextlib.closing(start()) as pool:
                none: Any = None
                rows = Prepared(folder, None, none, 0, 0, "", None, "")
                pool.prepare(Workload(coordinator.STUDY, none, rows, (), (), 0, 1, None, none, 300.0))
                while len(pool.idle()) < actors:
                    list(pool.completed(0.5))
                policy = Policy(coordinator.AIM, coordinator.EVALUATIONS_PER_EPOCH, None, Pruner())
                made = Coordinator(
                    store, pool, given.asker(store, "random").ask, Limits(Budget(), coordinator.AIM), policy,
                    CheckpointFolder(folder / "checkpoints", 2**30), logs=folder / "logs", observers=[watch],
                )  # fmt: skip
                with contextlib.suppress(_TimeIsUpError):
                    made.run()
    wall = watch.ended - watch.began
    return {
        "actors": actors, "seconds a segment": sleep, "segments a second": watch.segments / wall,
        "busy": watch.segments * sleep / (wall * actors), "coordinator, share of a core": watch.processor / wall,
    }  # fmt: skip


class _TimeIsUpError(Exception):
    """Leaves the coordinator's loop in the middle: nobody goes on with the study."""


@dataclass
class _Watch:
    """An observer that counts the ends of segments for so long, a few seconds after the first."""

    seconds: float
    began: float = 0.0
    ended: float = 0.0
    segments: int = 0
    processor: float = 0.0
    _first: float | None = None
    _before: int = field(default=0)

    def observe(self, history: Any, trial: Any) -> None:
        now = time.perf_counter()
        self._first = now if self._first is None else self._first
        if not self.began and now - self._first > 5.0:
            self.began, self._before, self.processor = now, _ends(history), time.process_time()
        elif self.began and not self.ended and now - self.began > self.seconds:  # else it is told once more at the end
            self.ended, self.segments = now, _ends(history) - self._before
            self.processor = time.process_time() - self.processor
            raise _TimeIsUpError


def _ends(history: Any) -> int:
    return sum(len(results) for results in history.results.values())


def _path() -> str:
    return str(Path(__file__).parents[1])


def main(arguments: Sequence[str] | None = None) -> dict[str, Any] | None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks cluster", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with train.csv")
    parser.add_argument("--model", default=None, help="folder of a BERT (default: the packaged MiniLM)")
    parser.add_argument("--rows", type=int, default=600, help="training rows (default: 600)")
    parser.add_argument("--rounds", type=int, default=3, help="runs with each pool (default: 3)")
    parser.add_argument("--actors", type=int, default=64, help="actors that sleep (default: 64)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each kind of sleep (default: 20)")
    parser.add_argument("--trials", type=int, default=1000, help="trials that are stored before (default: 1000)")
    given = parser.parse_args(arguments)
    if importlib.util.find_spec("ray") is None:
        print("cluster: skipped, for want of Ray (pip install 'hpsearch[ray]')")
        return None
    measurements: dict[str, Any] = {"machine": machine()}
    rows = []
    model = given.model or (str(found) if (found := minilm()) else None)
    if given.rounds and model is not None and (given.data / "train.csv").is_file():
        found = overhead(given.data, model, given.rows, given.rounds)
        measurements["overhead"] = found
        what = f"nine fine-tunes, {given.rows} rows, two workers: Ray over local"
        rows.append(Row(what, f"{found['times']:.2f}x ({found['low']:.2f} to {found['high']:.2f})"))
    for sleep in SLEEPS if given.actors else ():
        found = served(given.actors, sleep, given.trials, given.seconds)
        measurements.setdefault("sleeping actors", []).append(found)
        what = f"{given.actors} actors that sleep {sleep:g} s a segment, at {given.trials:,} trials"
        text = f"{found['segments a second']:.0f} segments a second, {found['busy']:.0%} busy"
        rows.append(Row(what, text))
    for row in rows:
        print(f"{row.what}: {row.measured}")
    measurements["readme"] = readme_rows(rows)
    write_measurements("cluster", measurements)
    return measurements


if __name__ == "__main__":
    main()
