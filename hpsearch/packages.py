"""Which packages are installed: their versions decide numbers."""

import platform
from importlib.metadata import PackageNotFoundError, version

VERSIONED = ("torch", "transformers", "tokenizers", "numpy", "scikit-learn")
"""Packages whose versions decide the numbers of any task: training, encoding, and the metrics. Pillow decides those of
images only, and is part of their digest: a study of texts need not mind whether it is there."""


def versions_of(*packages: str) -> dict[str, str]:
    """Return the installed versions of packages, "absent" for one that is not there."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages in `VERSIONED`, as they are installed now."""
    return {"python": platform.python_version(), **versions_of(*VERSIONED)}
