"""The version of hpsearch, and those of the installed packages that decide numbers."""

__version__ = "0.2.0"

VERSIONED = ("torch", "transformers", "tokenizers", "numpy", "scikit-learn")
"""Packages whose versions decide the numbers of any task: training, encoding, and the metrics. Pillow decides those of
images only, and is part of their digest: a study of texts need not mind whether it is there."""


def versions_of(*packages: str) -> dict[str, str]:
    """Return the installed versions of packages, "absent" for one that is not there."""
    from importlib.metadata import PackageNotFoundError, version  # `import hpsearch` reads this module

    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages in `VERSIONED`, as they are installed now."""
    import platform

    return {"python": platform.python_version(), **versions_of(*VERSIONED)}
