"""Versions of what computes the numbers, recorded with every trained model."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Final

_DISTRIBUTIONS: Final = (
    *("forecast-consumer", "numpy", "scipy", "statsforecast"),
    *("coreforecast", "lightgbm", "pyarrow"),
)


def library_versions() -> dict[str, str]:
    """Version of Python and of each library by name."""
    return {"python": platform.python_version()} | {name: version(name) for name in _DISTRIBUTIONS}
