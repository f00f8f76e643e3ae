"""What the model processes of a chaos run do: the real computation, drawn out so that faults can hit it.

Everything follows from the horizon of the command, so a seed decides it and a resumed chunk takes as long again.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from consumer.forecasting import fitting
from consumer.forecasting.compute import compute_chunk
from consumer.forecasting.types import Variant

if TYPE_CHECKING:
    from consumer.forecasting.types import ChunkRequest, ChunkResult, FloatArray

SECONDS_A_PRODUCT: Final = (0.02, 0.1, 0.3, 1.0)
CRASHING, DEVOURING = 50, 51  # weeks ahead that make a model process die, or ask for more memory than there is
MEMORY: Final = 64 * 1024**3


class Steady:
    """The mean of the last weeks, again and again."""

    parameters: ClassVar[dict[str, Any]] = {"model": "chaos"}

    def fit_predict(self, history: FloatArray, horizon: int, seed: int) -> FloatArray:
        del seed
        return np.outer(np.full(horizon, history[-8:].mean()), (0.6, 0.8, 1.0, 1.2, 1.4))


def slow_compute_chunk(request: ChunkRequest) -> ChunkResult:
    """``compute_chunk``, after a while."""
    if request.horizon == CRASHING:
        os.kill(os.getpid(), signal.SIGSEGV)
    if request.horizon == DEVOURING:
        bytearray(MEMORY)
    time.sleep(seconds_a_product(request.horizon) * len(request.products))
    return compute_chunk(request)


def seconds_a_product(horizon: int) -> float:
    return SECONDS_A_PRODUCT[horizon % len(SECONDS_A_PRODUCT)]


def start_process(memory_megabytes: int | None = None) -> None:
    """The service's own initialiser, with one model for all: the library's import takes longer than a process lives."""
    import consumer.processes as own  # noqa: PLC0415  in the child only

    fitting.LOCAL_MODELS = dict.fromkeys(Variant, Steady())
    own.warm_up = lambda: None
    if memory_megabytes is None:
        own._start_process()
    else:
        own._start_process(memory_megabytes)


def in_model_process() -> bool:
    return multiprocessing.parent_process() is not None
