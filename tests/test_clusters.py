"""The job scripts of docs/clusters.md, run by a stand-in for Slurm that gives notice and requeues.

The stand-in has what the scripts need: `srun`, `scontrol requeue`, and a signal before the time is up, sent where the
script's --signal says. Time is up soon after each start, until it has been so often enough.
"""

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from ray_nodes import OF_NODES, START
from study_processes import until
from toy_studies import count_evaluations, known_of, table

import hpsearch as hp
from hpsearch.errors import PREEMPTED_CODE

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
ALL_SCRIPTS = re.findall(r"^```bash\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
OF_SLURM = [text for text in ALL_SCRIPTS if "#SBATCH" in text]
SCRIPTS = [text for text in OF_SLURM if "ray start" not in text]
(RAY_SCRIPT,) = (text for text in OF_SLURM if "ray start" in text)
INTERRUPTED = 2
OF_A_JOB = "SLURM_STAND_IN"
"""A variable by which the stand-in knows the processes of a job."""

STUDY = """
import hpsearch as hp
from toy_task import ToyTask

space = hp.Space(learning_rate=hp.Float(1e-3, 1e-1, log=True), batch_size=8, epochs=2, warmup_ratio=0.1)
study = hp.Study("toy", ToyTask(pause={pause}), space, sampler="random", cv=2, pruner="none", early_stopping=None)
"""
PROGRAMS = {
    "hpsearch": f'exec {sys.executable} -m hpsearch "$@"',
    "srun": 'while [[ $1 == --* ]]; do shift; done; echo $$ > step; exec setsid "$@"',
    "scontrol": 'test "$*" = "requeue $SLURM_JOB_ID" && touch requeued',
    "hostname": "echo 127.0.0.1",
    "ray": f'exec {sys.executable} -c {shlex.quote(START)} "$@"',
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a job, with a study file and the stand-in's programs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "bin").mkdir()
    for name, line in PROGRAMS.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{line}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "study.py").write_text(STUDY.format(pause=0.05))
    return tmp_path


class Slurm:
    """Runs a batch script, gives notice as the script asks for, and runs it again when it is requeued.

    Args:
        interrupted: How often its time is up.
        variables: The script's environment, but for what each job has.
    """

    def __init__(
        self, place: Path, script: str, interrupted: int = INTERRUPTED, variables: Mapping[str, str] = {}
    ) -> None:
        self.place, self.codes = place, list[int]()
        self.interrupted, self.variables = interrupted, variables
        assert "--trials 50" in script
        (place / "job.sh").write_text(script.replace("--trials 50", "--trials 3"))
        (asked,) = re.findall(r"#SBATCH --signal=(B:)?USR1@\d+$", script, re.MULTILINE)
        self.to_the_script = asked == "B:"
        assert "#SBATCH --requeue" in script

    def run(self) -> None:
        while True:
            (self.place / "requeued").unlink(missing_ok=True)
            self.codes.append(self._once(gives_notice=len(self.codes) < self.interrupted))
            if not (self.place / "requeued").exists():
                return

    def log(self) -> str:
        return (self.place / "slurm-17.out").read_text()

    def _once(self, *, gives_notice: bool) -> int:
        paths = [str(ROOT), str(ROOT / "tests" / "runtime")]
        environment = {
            **os.environ, "SLURM_JOB_ID": "17", "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths),
            "PATH": os.pathsep.join([str(self.place / "bin"), os.environ["PATH"]]), OF_A_JOB: str(self.place),
            "HOME": str(self.place),
            **self.variables,
        }  # fmt: skip
        with (self.place / "slurm-17.out").open("a") as log:
            job = subprocess.Popen(
                ["bash", "job.sh"], stdout=log, stderr=log, env=environment, cwd=self.place, start_new_session=True
            )
        try:
            if gives_notice:
                known = count_evaluations(self.place / "runs")
                until(lambda: count_evaluations(self.place / "runs") > known or job.poll() is not None, 240, self.log)
                self._give_notice(job.pid)
            return job.wait(240)
        finally:
            if job.poll() is None:
                os.killpg(job.pid, signal.SIGKILL)
                job.wait()
            self.end_all()

    def end_all(self) -> None:
        """End whatever the job has started, as Slurm does when its script has ended."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(OF_A_JOB) == str(self.place):
                    process.kill()
                    process.wait(30)

    def _give_notice(self, script: int) -> None:
        if self.to_the_script:
            os.kill(script, signal.SIGUSR1)
            time.sleep(0.05)
            os.kill(script, signal.SIGTERM)  # and its time is up
        else:
            os.killpg(int((self.place / "step").read_text()), signal.SIGUSR1)


@pytest.mark.chaos
@pytest.mark.parametrize("script", SCRIPTS, ids=["srun", "trap"])
def test_a_job_that_is_requeued_ends_with_the_study_of_one_that_was_left_alone(script: str, place: Path) -> None:
    _check(Slurm(place, script), place)


@pytest.mark.ray
@pytest.mark.extended
@pytest.mark.slow
def test_a_job_on_two_nodes_of_ray_ends_with_the_study_of_one_machine(place: Path) -> None:
    """Both nodes are on this machine; their number is all of the script that is changed, as its user would."""
    number = str(os.getpid())
    of_slurm = {"SLURM_JOB_ID": number, "SLURM_NNODES": "2", "SLURM_CPUS_PER_TASK": "1", "SLURMD_NODENAME": "first"}
    slurm = Slurm(place, RAY_SCRIPT, interrupted=1, variables={**OF_NODES, **of_slurm})
    try:
        _check(slurm, place)
    finally:
        shutil.rmtree(f"/tmp/ray-{number}", ignore_errors=True)


def _check(slurm: Slurm, place: Path) -> None:
    """Run a job to its end, and compare its study with one that was left alone."""
    slurm.run()
    assert slurm.codes == [PREEMPTED_CODE] * slurm.interrupted + [0], slurm.log()
    assert slurm.log().count("Paused. Continue with") == slurm.interrupted
    assert "Traceback" not in slurm.log()
    alone = place / "alone"
    names: dict[str, Any] = {}
    exec(STUDY.format(pause=0).replace("early_stopping=None", f"early_stopping=None, folder={str(alone)!r}"), names)
    result = names["study"].run(trials=3, devices="inline", progress=False)
    assert isinstance(result, hp.Result)
    assert table(place / "runs").equals(table(alone))
    assert known_of(place / "runs") == known_of(alone)


def test_the_page_has_the_codes_and_times_that_hold() -> None:
    from hpsearch.runtime.signals import NOTICE_PERIOD

    assert len(SCRIPTS) == 2
    assert f"exit code {PREEMPTED_CODE}" in PAGE
    assert f"{NOTICE_PERIOD:g} seconds by default" in PAGE
    for script in OF_SLURM:
        assert f'"$code" -eq {PREEMPTED_CODE}' in script


@pytest.mark.parametrize("script", ALL_SCRIPTS, ids=range(4))
def test_bash_understands_each_script(script: str) -> None:
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_kubernetes_job_is_yaml_and_requeues_on_the_code() -> None:
    import yaml

    (text,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    spec = yaml.safe_load(text)["spec"]
    assert spec["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"] == [PREEMPTED_CODE]
    assert all(isinstance(word, str) for word in spec["template"]["spec"]["containers"][0]["command"])
