"""NVIDIA's MPS, before a stand-in for its control program that writes down what it was told."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from study_processes import until

from hpsearch.runtime.mps import CONTROL, MpsRefusedError, MultiProcessService, running_daemon

STAND_IN = """\
#!/bin/sh
if [ "$1" = -d ]; then
    {daemon}
    touch "$CUDA_MPS_PIPE_DIRECTORY/control"
    echo "daemon sees ${{CUDA_VISIBLE_DEVICES-all}} in $CUDA_DEVICE_ORDER" >> {told}
else
    cat >> {told}
fi
"""


@pytest.fixture
def told(tmp_path, monkeypatch) -> Path:
    """The file in which the stand-in writes down what it was told; it is where the real one would be found."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    put(tmp_path)
    return tmp_path / "told"


def put(folder: Path, daemon: str = "true") -> None:
    program = folder / CONTROL
    program.write_text(STAND_IN.format(daemon=daemon, told=folder / "told"))
    program.chmod(0o755)


def test_it_runs_from_its_start_to_its_close_in_a_folder_of_its_own(told):
    service = MultiProcessService()
    pipes = Path(service.variables["CUDA_MPS_PIPE_DIRECTORY"])
    assert running_daemon(service.variables) == str(pipes)
    assert told.read_text() == f"daemon sees all in PCI_BUS_ID\nstart_server -uid {os.getuid()}\n"
    service.close()
    service.close()
    assert told.read_text().endswith("quit -t 5\n")
    assert not pipes.exists()
    assert running_daemon(service.variables) is None


def test_it_ends_with_a_process_that_is_killed(told):
    code = """
        import os, signal
        from hpsearch.runtime.mps import MultiProcessService
        service = MultiProcessService()
        print(service.variables["CUDA_MPS_PIPE_DIRECTORY"], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    found = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert found.stdout, found.stderr
    until(lambda: not Path(found.stdout.strip()).exists(), 20, "the daemon outlives its process")
    assert "quit" in told.read_text()


def test_a_machine_without_it_refuses(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MpsRefusedError, match="there is no nvidia-cuda-mps-control here"):
        MultiProcessService()


def test_what_the_daemon_says_is_the_reason(told, tmp_path):
    put(tmp_path, 'echo "An instance of this daemon is already running"; exit 1')
    with pytest.raises(MpsRefusedError, match=r"says: An instance of this daemon is already running$"):
        MultiProcessService()


def test_a_daemon_that_never_answers_is_given_up(told, tmp_path, monkeypatch):
    put(tmp_path, "sleep 600")
    monkeypatch.setattr("hpsearch.runtime.mps.START_SECONDS", 0.5)
    monkeypatch.setattr("hpsearch.runtime.mps.END_SECONDS", 0.5)
    with pytest.raises(MpsRefusedError, match=r"says: nothing in 0\.5 seconds"):
        MultiProcessService()
