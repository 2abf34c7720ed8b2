"""The matmul peak of this machine at a model's sizes: one process a core, one thread each, all at once.

python -m benchmarks.matmul_peak PRECISION HIDDEN INTERMEDIATE TOKENS SECONDS     (one of the processes)
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.flops import Sizes

TOKENS = 512
"""Tokens of the batches that are multiplied: 16 rows of 32."""


def matmul_peak(sizes: Sizes, precision: str, processes: int, seconds: float) -> dict[str, float]:
    """Return floating-point operations a second, of all processes together, by the shape of the product.

    Args:
        sizes: The model's.
        precision: "bf16" or "fp32".
        processes: How many, of one thread each.
        seconds: How long each shape is multiplied.
    """
    command = [sys.executable, "-m", "benchmarks.matmul_peak", precision]
    command += [str(sizes.hidden), str(sizes.intermediate), str(TOKENS), str(seconds)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    started = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(processes)]
    answers = [json.loads(process.communicate()[0]) for process in started]
    return {shape: sum(answer[shape] for answer in answers) for shape in answers[0]}


def _multiply(precision: str, hidden: int, intermediate: int, tokens: int, seconds: float) -> dict[str, float]:
    import torch

    torch.set_num_threads(1)
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    found = {}
    for inner, outer in ((hidden, hidden), (hidden, intermediate), (intermediate, hidden)):
        left, right = torch.randn(tokens, inner).to(kind), torch.randn(outer, inner).to(kind)
        best, until = 0.0, time.perf_counter() + seconds
        while time.perf_counter() < until:
            began = time.perf_counter()
            for _ in range(20):
                torch.nn.functional.linear(left, right)
            best = max(best, 20 * 2 * tokens * inner * outer / (time.perf_counter() - began))
        found[f"{tokens} x {inner} x {outer}"] = best
    return found


def main(arguments: Sequence[str]) -> None:
    precision, hidden, intermediate, tokens, seconds = arguments
    print(json.dumps(_multiply(precision, int(hidden), int(intermediate), int(tokens), float(seconds))))


if __name__ == "__main__":
    main(sys.argv[1:])
