"""Models, metrics and rows of a module that lies beside a script and is not installed: workers find them."""

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from ray_nodes import RayCluster

ROOT = Path(__file__).parents[1]

MODULE = """
import numpy as np
import torch
from torch import nn

SHARE = 0.5


def half(number):
    return number * SHARE


class Net(nn.Module):
    def __init__(self, width: int = 4):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 3))

    def forward(self, rows):
        return self.layers(rows)


def halved_accuracy(y_true, y_pred):
    return half(float(np.mean(y_true == y_pred)))


def rows():
    random, targets = np.random.default_rng(0), np.arange(30) % 3
    return random.normal(size=(30, 6)) + np.eye(3, 6)[targets], targets
"""

SCRIPT = """
import os
import sys

import hpsearch as hp
from nets import Net, halved_accuracy, rows

study = hp.Study(
    "local", hp.CustomTask(Net, train=rows), hp.Space(width=hp.Int(2, 6), epochs=1, batch_size=8),
    sampler="random", cv=2, metric=halved_accuracy, pruner="none", folder=os.environ["STUDIES"],
)
if __name__ == "__main__":
    devices = sys.argv[2] if sys.argv[2:] else 2
    if "--send" in sys.argv:
        import ray
        ray.init(runtime_env={"working_dir": sys.argv[-1]}, log_to_driver=False)
    print(study.run(trials=int(sys.argv[1]), devices=devices, progress=False).text())
"""

COMMAND = "import sys\nfrom hpsearch.cli.commands import app\n\nif __name__ == '__main__':\n    sys.exit(app())\n"
"""The command `hpsearch` as pip installs it: a script of another folder, which does not look in the working one."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A person's folder with a script and its module, and an installed command elsewhere."""
    for folder in ("project", "bin", "elsewhere"):
        (tmp_path / folder).mkdir()
    (tmp_path / "project" / "nets.py").write_text(MODULE)
    (tmp_path / "project" / "script.py").write_text(SCRIPT)
    (tmp_path / "bin" / "hpsearch").write_text(COMMAND)
    return tmp_path


def run(place: Path, folder: str, *words: str, descriptors: Sequence[int] = ()) -> "subprocess.CompletedProcess[str]":
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("MODULES")])]),
        "OMP_NUM_THREADS": "1",
        "HPSEARCH_CACHE": str(place / "cache"),
        "STUDIES": str(place / "studies"),
        "PYTHONDONTWRITEBYTECODE": "1",  # a module that is edited twice within a second has one time of change
    }
    command = [sys.executable, *words]
    return subprocess.run(
        command, cwd=place / folder, env=environment, capture_output=True, text=True, check=False, timeout=300,
        pass_fds=descriptors,
    )  # fmt: skip


def edit(place: Path, before: str, after: str) -> None:
    path = place / "project" / "nets.py"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))


@pytest.mark.slow
@pytest.mark.long
def test_a_script_and_its_module_run_are_resumed_and_watched(place: Path) -> None:
    done = run(place, "project", "script.py", "1")
    assert done.returncode == 0, done.stderr
    assert "best: trial 0" in done.stdout

    command = str(place / "bin" / "hpsearch")
    resumed = run(place, "elsewhere", command, "run", str(place / "project" / "script.py"), "--trials", "2")
    assert resumed.returncode == 0, resumed.stderr
    assert "local: trial 1 complete" in resumed.stderr
    assert "local: trial 0 complete" not in resumed.stderr

    by_name = (command, "resume", "local", "--folder", str(place / "studies"), "--trials", "3", "--devices", "2")
    found = run(place, "project", *by_name)
    assert found.returncode == 0, found.stderr
    assert "local: trial 2 complete" in found.stderr
    lost = run(place, "elsewhere", *by_name)
    assert lost.returncode == 2
    assert "'nets:Net'" in lost.stderr and "Run from the folder that 'nets' lies in" in lost.stderr
    assert "Traceback" not in lost.stderr

    edit(place, "nn.ReLU()", "nn.Tanh()")
    changed = run(place, "elsewhere", command, "run", str(place / "project" / "script.py"), "--trials", "3")
    assert changed.returncode == 2
    assert "what make_model=Net computes (its code)" in changed.stderr
    assert "pretrained model" not in changed.stderr
    edit(place, "nn.Tanh()", "nn.ReLU()")
    edit(place, "SHARE = 0.5", "SHARE = 0.25")  # what a function uses that the metric calls
    changed = run(place, "project", command, "run", "script.py", "--trials", "3")
    assert changed.returncode == 2
    assert "what a metric computes" in changed.stderr
    assert "make_model" not in changed.stderr


@pytest.mark.slow
def test_a_module_in_the_working_directory_is_found_by_workers(place: Path) -> None:
    (place / "project" / "script.py").rename(place / "elsewhere" / "script.py")
    script = str(place / "elsewhere" / "script.py")
    done = run(place, "project", str(place / "bin" / "hpsearch"), "run", script, "--trials", "1", "--devices", "2")
    assert done.returncode == 0, done.stderr
    assert "best: trial 0" in done.stdout


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.extended
def test_nodes_of_a_cluster_find_a_module_where_they_see_it_or_are_sent_it(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They see the folder of the script, but not what only the script's process has under its name."""
    with RayCluster(1) as cluster:
        cluster.used(monkeypatch)
        script = place / "project" / "script.py"
        command = [str(place / "bin" / "hpsearch"), "run", str(script), "--trials", "1", "--devices", "ray"]
        seen = run(place, "elsewhere", *command)
        assert seen.returncode == 0, seen.stderr
        assert "best: trial 0" in seen.stdout

        script.rename(place / "elsewhere" / "script.py")
        descriptor = os.open(place / "project", os.O_RDONLY)
        monkeypatch.setenv("MODULES", f"/proc/self/fd/{descriptor}")
        unseen = run(place, "elsewhere", "script.py", "2", "ray", descriptors=[descriptor])
        assert unseen.returncode == 1, unseen.stderr
        said = unseen.stderr.strip().splitlines()[-1]
        assert "cannot import a module that the study's task or metric is made of: No module named 'nets'." in said
        assert "ray.init(runtime_env={'working_dir': '.'})" in said

        words = ("script.py", "2", "ray", "--send", str(place / "project"))
        sent = run(place, "elsewhere", *words, descriptors=[descriptor])
        assert sent.returncode == 0, sent.stderr
        assert "best: trial" in sent.stdout
        os.close(descriptor)


def test_code_that_was_edited_meanwhile_is_refused_where_it_arrives(place: Path) -> None:
    sys.path.insert(0, str(place / "project"))
    try:
        from nets import Net  # of the folder just made

        from hpsearch.tasks.user_code import UserCode

        packed = place / "packed"
        packed.write_bytes(pickle.dumps(UserCode.of(Net, "make_model")))
    finally:
        sys.path.remove(str(place / "project"))
        sys.modules.pop("nets", None)
    code = f"import pickle\npickle.loads(open({str(packed)!r}, 'rb').read())"
    assert run(place, "project", "-c", code).returncode == 0
    edit(place, "nn.ReLU()", "nn.Tanh()")
    refused = run(place, "project", "-c", code)
    assert refused.returncode == 1
    assert "the code of 'nets:Net' is not what the study was started with" in refused.stderr
    missing = run(place, "elsewhere", "-c", code)
    assert "'nets:Net', of which the study's task was made, cannot be imported" in missing.stderr


def test_a_worker_that_cannot_find_a_module_says_so(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that is not on the path when workers start: the study ends with the reason, and does not wait."""
    code = (
        "import sys, runpy\n"
        f"sys.path.insert(0, {str(place / 'project')!r})\n"
        "names = runpy.run_path('script.py', run_name='__hpsearch__')\n"
        "sys.path.pop(0)\n"
        "names['study'].run(trials=1, devices=1, progress=False)"
    )
    done = run(place, "project", "-P", "-c", code)
    assert done.returncode == 1
    assert "No module named 'nets'" in done.stderr
