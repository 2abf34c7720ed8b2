"""Where measurements go: JSON below benchmarks/results, with the machine they were made on."""

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "figures"


def machine() -> dict[str, str]:
    """Return what the numbers depend on besides the code."""
    import torch
    import transformers

    return {
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def write_results(name: str, found: Mapping[str, Any]) -> Path:
    """Write one benchmark's measurements."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return path
