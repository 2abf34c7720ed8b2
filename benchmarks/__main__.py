"""`python -m benchmarks`: what is claimed, measured. Without a name, lists what there is; `all` runs everything."""

import importlib
import signal
import sys
from collections.abc import Sequence

BENCHMARKS = {
    "startup": "import hpsearch and hpsearch --help, in seconds",
    "forecast": "what six small studies take against their forecasts; needs a model and data",
    "coordinator": "the coordinator's time a segment at a thousand stored trials",
    "scale": "a study of two thousand trials: resume, show, list, report",
    "curves": "samplers under pruning, replayed on recorded fine-tunes",
    "policy": "policies to the same quality, replayed on full grids through the coordinator",
    "virtual_time": "what deciding in virtual time costs: waiting, and compute to the same quality, replayed",
    "emotion": "a whole study on real tweets, against a frozen-feature probe; needs a model and data",
    "regression": "numbers on real data, each against a ridge regression; tweets need a model and data",
    "spans": "spans of real bookings, fine-tuned against the head alone; needs a model and data",
    "xrays": "real X-rays, pretrained weights whole or frozen against scratch, five folds; needs a model and data",
    "translation": "a small translator from scratch, English to German: loss, BLEU, chrF; needs data",
    "cluster": "a Ray cluster against this machine's own pool, and actors that only sleep; needs Ray",
    "scaling": "two workers against one, warm; needs a model and data",
    "balance": "how idle workers are in a study of unequal trials, to its end; needs a model and data",
    "systems": "fixed lists of fine-tunes run to the end, against Optuna with Trainer; needs accelerate, too",
    "paired_seeds": "whether a run is as good as `Trainer`'s: hundreds of seeds; needs a model and data, hours",
    "language": "LoRA on a language model: equal losses, what is learned, speed and memory; needs a model and data",
    "end_to_end": "wall time until a test score, against Optuna TPE and Hyperband with Trainer",
    "limit": "how near to the machine's matmul peak; where a worker's time goes",
    "gpu_check": "what is promised on a GPU, checked on this machine's",
}
"""Name of a module in here to what it measures, the quick ones first."""


def main(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print("python -m benchmarks NAME [OPTIONS]; NAME --help says which; `all` runs them one after the other.\n")
        for name, text in BENCHMARKS.items():
            print(f"  {name:<12} {text}")
        return 0
    chosen, *options = arguments
    if chosen != "all" and chosen not in BENCHMARKS:
        print(f"There is no benchmark {chosen!r}; there are {', '.join(BENCHMARKS)}, and all.", file=sys.stderr)
        return 2
    for name in BENCHMARKS if chosen == "all" else [chosen]:
        if chosen == "all":
            print(f"\n== {name}: {BENCHMARKS[name]}", flush=True)
        importlib.import_module(f"benchmarks.{name}").main(options)
    return 0


if __name__ == "__main__":
    # So that what a benchmark has started is ended with it, as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
