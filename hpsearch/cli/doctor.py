"""A look at the machine, for when something does not work: versions, devices, precision, worker processes, Ray."""

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpsearch.errors import HpsearchError
from hpsearch.provenance.packages import __version__

PACKAGES = ("torch", "transformers", "optuna", "scikit-learn", "plotly", "joblib", "pandas", "sqlalchemy")

LEAST_DISK_BYTES = 2**30
"""Free bytes under which a study is likely to run out of disk."""

RAY_SECONDS = 10.0
"""How long a Ray cluster may take to answer, once Ray is imported; Ray itself waits for minutes."""

ASK_RAY = """
import json, ray
print("imported", flush=True)
try:
    ray.init(address="auto", logging_level="CRITICAL", log_to_driver=False)
except ConnectionError:
    print("null")
except RuntimeError as error:
    print(json.dumps(" ".join(str(error).split())))
else:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    print(json.dumps([[resources.get("CPU", 0), resources.get("GPU", 0)] for resources in nodes]))
"""
"""Asks a cluster that runs for its nodes; with this address Ray starts none."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    subject: str
    text: str
    is_good: bool = True


def examine() -> Sequence[Finding]:
    """Look at everything; this really starts a worker process."""
    return [_python(), *_versions(), _devices(), _memory(), _disk(), _cache(), _database(), _worker(), ray_cluster()]


def _python() -> Finding:
    return Finding("hpsearch", f"{__version__} on Python {platform.python_version()}, {platform.platform(terse=True)}")


def _versions() -> list[Finding]:
    findings = []
    for package in PACKAGES:
        try:
            findings.append(Finding(package, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            findings.append(Finding(package, f"not installed; pip install {package}", is_good=False))
    return findings


def _devices() -> Finding:
    import torch

    from hpsearch.runtime.devices import inventory

    machine = inventory()
    names = [torch.cuda.get_device_name(index) for index in range(machine.cuda)]
    devices = ", ".join(names) or ("Apple GPU" if machine.mps else "no GPU; trials run on the CPU")
    return Finding("devices", f"{devices}; {machine.cores} core(s)")


def _memory() -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    return Finding("memory", f"{memory.available / 2**30:.1f} GiB free of {memory.total / 2**30:.1f}")


def _disk() -> Finding:
    """Look at the disk of the working folder, where studies are stored by default."""
    free = shutil.disk_usage(Path.cwd()).free
    text = f"{free / 2**30:.1f} GiB free here"
    if free < LEAST_DISK_BYTES:
        return Finding("disk", f"{text}; checkpoints and the database may not fit", is_good=False)
    return Finding("disk", text)


def _cache() -> Finding:
    from hpsearch.plan.paths import cache_folder

    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding("cache", f"{folder} cannot be written ({error}); set HPSEARCH_CACHE to a folder that can", False)
    return Finding("cache", str(folder))


def _database() -> Finding:
    from hpsearch.records.store import Store
    from hpsearch.records.urls import sqlite_url

    with tempfile.TemporaryDirectory() as folder:
        try:
            store = Store.create(sqlite_url(Path(folder) / "study.db"), "doctor", {})
            store.acquire()
            store.close()
        except HpsearchError as error:
            return Finding("database", str(error), is_good=False)
    return Finding("database", "SQLite in write-ahead mode works")


def _worker() -> Finding:
    from hpsearch.runtime.devices import inventory, slots
    from hpsearch.runtime.pools.local import LocalPool
    from hpsearch.training.numerics import automatic_precision

    pool = LocalPool(slots("auto", inventory())[:1])
    try:
        environment = pool.environment()
        process = next(iter(pool.processes().values()))
    except HpsearchError as error:
        return Finding("worker", str(error), is_good=False)
    finally:
        pool.close()
    assert process != os.getpid()
    precision = automatic_precision(environment)
    return Finding("worker", f"a process starts on {environment.get('device_model', 'this machine')}; {precision}")


def ray_cluster() -> Finding:
    """Look for a cluster in a process of its own, which is ended where it takes too long."""
    try:
        version = importlib.metadata.version("ray")
    except importlib.metadata.PackageNotFoundError:
        return Finding("ray", "not installed; for several machines: pip install 'hpsearch[ray]'")
    address = os.environ.get("RAY_ADDRESS", "")
    cluster = f"the cluster at {address} (RAY_ADDRESS)" if address else "the cluster that was started here last"
    command = [sys.executable, "-c", ASK_RAY]
    with subprocess.Popen(command, bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as asking:  # noqa: S603 - our own
        assert asking.stdout is not None
        asking.stdout.readline()  # it has imported Ray
        try:
            output, errors = asking.communicate(timeout=RAY_SECONDS)
        except subprocess.TimeoutExpired:
            asking.kill()
            text = f"{cluster} does not answer within {RAY_SECONDS:g} seconds; `ray status` says more"
            return Finding("ray", f"{version}; {text}", is_good=not address)
    said, last_error = (stream.decode(errors="replace").strip().rpartition("\n")[2] for stream in (output, errors))
    nodes = last_error if asking.returncode != 0 or not said else json.loads(said)
    if nodes is None:
        return Finding("ray", f"{version}; no cluster runs here")
    if isinstance(nodes, str):
        return Finding("ray", f"{version}; {cluster} cannot be used ({nodes})", is_good=not address)
    cores, gpus = (sum(node[index] for node in nodes) for index in (0, 1))
    return Finding("ray", f"{version}; a cluster of {len(nodes)} node(s), {cores:g} CPU(s), {gpus:g} GPU(s)")
