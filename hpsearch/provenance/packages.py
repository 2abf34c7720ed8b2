"""The version of hpsearch, and those of the installed packages that decide numbers."""

__version__ = "0.2.0"

VERSIONED = ("torch", "transformers", "tokenizers", "numpy", "scikit-learn")
"""Packages whose versions decide the numbers of any task: training, encoding, and the metrics. Pillow decides those of
images only, and is part of their digest: a study of texts does not depend on it."""


def versions_of(*packages: str) -> dict[str, str]:
    """Return the installed versions of packages, "absent" for one that is not there."""
    from importlib.metadata import PackageNotFoundError, version  # `import hpsearch` reads this module

    versions = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "absent"
    return versions


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages in `VERSIONED`, as they are installed now."""
    import platform

    return {"python": platform.python_version(), **versions_of(*VERSIONED)}
