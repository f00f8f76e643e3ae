"""Versions of what computes the numbers, recorded with every trained model."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Final

_DISTRIBUTIONS: Final = (
    *("forecast-consumer", "numpy", "scipy", "statsforecast"),
    *("coreforecast", "lightgbm", "pyarrow"),
)


_OF_TFT: Final = ("torch", "neuralforecast", "pytorch-lightning", "safetensors")


def library_versions(*, tft: bool = False) -> dict[str, str]:
    """Version of Python and of each library by name.

    Args:
        tft: Also those of the extra ``tft``, which must be installed.
    """
    names = (*_DISTRIBUTIONS, *_OF_TFT) if tft else _DISTRIBUTIONS
    return {"python": platform.python_version()} | {name: version(name) for name in names}
