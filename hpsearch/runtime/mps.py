"""NVIDIA's Multi-Process Service: kernels of several processes run on a GPU at once, not in turns.

Its control daemon is started as this user, with a pipe directory of its own, and ends with this process. Nothing is
changed for other users of the GPU, nor where a daemon already runs: clients find that by themselves.
"""

import contextlib
import logging
import os
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hpsearch.errors import HpsearchError

CONTROL = "nvidia-cuda-mps-control"
DEFAULT_PIPES = Path("/tmp/nvidia-mps")  # noqa: S108  # NVIDIA's, where its clients look

logger = logging.getLogger("hpsearch")

START_SECONDS = 20.0
END_SECONDS = 10.0

_SCRIPT = f"""
{CONTROL} -d > "$CUDA_MPS_LOG_DIRECTORY/start" 2>&1 && echo "start_server -uid $(id -u)" | {CONTROL} \
    > "$CUDA_MPS_LOG_DIRECTORY/start" 2>&1 && echo ready || tail -n 1 "$CUDA_MPS_LOG_DIRECTORY/start"
cat > /dev/null
echo quit -t 5 | {CONTROL} > /dev/null 2>&1
rm -rf "$CUDA_MPS_PIPE_DIRECTORY"
"""
"""Starts the daemon and a server, and ends them when standard input ends: with this process, however that ends."""


class MpsRefusedError(HpsearchError):
    """The daemon cannot be started here; the message is the reason."""


def running_daemon(inherited: Mapping[str, str]) -> str | None:
    """Return the pipe directory of a daemon that runs already, and that this user's processes find; None without."""
    pipes = Path(inherited.get("CUDA_MPS_PIPE_DIRECTORY", DEFAULT_PIPES))
    return str(pipes) if (pipes / "control").exists() else None


class MultiProcessService:
    """The daemon, from its start to `close`.

    Attributes:
        variables: What the environment of its clients must have.

    Raises:
        MpsRefusedError: It cannot be started here.
    """

    def __init__(self) -> None:
        if shutil.which(CONTROL) is None:
            raise MpsRefusedError(f"there is no {CONTROL} here, which comes with NVIDIA's driver")
        self._folder = Path(tempfile.mkdtemp(prefix="hpsearch-mps-"))
        self.variables = {name: str(self._folder) for name in ("CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY")}
        # It sees every GPU in the bus's order, so that a client's CUDA_VISIBLE_DEVICES means the same with it.
        environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
        self._shell = subprocess.Popen(  # noqa: S603  # a fixed script
            ["sh", "-c", _SCRIPT],  # noqa: S607  # the system's shell
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**environment, **self.variables, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"},
            start_new_session=True,  # Ctrl-C is this process's to answer
        )
        said = self._said()
        if said != "ready":
            self.close()
            raise MpsRefusedError(f"{CONTROL} says: {said or f'nothing in {START_SECONDS:g} seconds'}")

    def _said(self) -> str:
        assert self._shell.stdout is not None
        if not select.select([self._shell.stdout], [], [], START_SECONDS)[0]:
            return ""
        return self._shell.stdout.readline().decode(errors="replace").strip()

    def gives_up(self) -> None:
        """End the daemon, because a client did not start under it; its variables are then to be left out."""
        logger.warning("Trials share GPUs in time slices: a worker did not start under NVIDIA's MPS.")
        self.close()

    def close(self) -> None:
        """End the daemon; its clients should have ended before."""
        for pipe in (self._shell.stdin, self._shell.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._shell.wait(END_SECONDS)
        if self._shell.poll() is None:  # a daemon that starts or ends too slowly
            os.killpg(self._shell.pid, signal.SIGKILL)
            self._shell.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
