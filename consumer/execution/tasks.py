"""What model processes are asked to do where files are in it: read what is verified, call the domain, give bytes back.

A file that is not what was written ends the call; who asked decides whether it is made anew or done without.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from consumer.forecasting.choices import decide
from consumer.forecasting.compute import compute_chunk
from consumer.forecasting.forecasts import uses_tft
from consumer.forecasting.global_model.booster import TooFewRowsError
from consumer.forecasting.global_model.series import TooFewSeriesError
from consumer.forecasting.history import rows_by_product
from consumer.forecasting.summary import Tally
from consumer.forecasting.trained import load_trained
from consumer.forecasting.training import FitRequest, TrainingRequest, TrainingRows, fit_model, training_rows
from consumer.forecasting.types import Variant
from consumer.verified_files import read_verified

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from consumer.forecasting.trained import Trained
    from consumer.forecasting.types import ChunkRequest, ChunkResult, PlannedProduct
    from consumer.ports.artefacts import StoredFile
    from schemas.enums import TargetType

Models = tuple[tuple[str, "StoredFile"], ...]  # what each file is to ``load_trained``, by name

_KEPT_MODELS: Final = 4  # a process works for few executions at a time, each with and without its TFT
_OF_TFT: Final = frozenset({"tft", "tft_choices"})


@dataclass(frozen=True, slots=True)
class BlockRows:
    """Rows to learn from of a block of products, and the hash of the sales behind them."""

    rows: TrainingRows
    data_hash: int


@dataclass(frozen=True, slots=True)
class FitWork:
    """A fit on the rows of all blocks."""

    files: tuple[StoredFile, ...]
    target: TargetType
    known_until: date
    seed: int
    variant: Variant = Variant.LGBM


@dataclass(frozen=True, slots=True)
class ChunkWork:
    """A chunk, or a block of candidates to measure, with trained models."""

    request: ChunkRequest
    models: Models


@dataclass(frozen=True, slots=True)
class TooLittleToLearn:
    """Why there is no model."""

    reason: str


def make_rows(request: TrainingRequest) -> BlockRows:
    """Make the rows of a block."""
    tally = Tally()
    for product_id, rows in rows_by_product(request.sales):
        if rows.week.size:
            tally.hash_rows(product_id, rows)
    return BlockRows(training_rows(request), tally.data)


def fit(work: FitWork) -> bytes | TooLittleToLearn:
    """Fit the global model of a target. A TFT that cannot be fitted, for whatever reason, is done without.

    Raises:
        UnusableFileError: The rows of a block were lost.
    """
    for file in work.files:
        read_verified(Path(file.path), file.sha256)
    paths = tuple(file.path for file in work.files)
    try:
        return fit_model(FitRequest(paths, work.target, work.known_until, work.seed, work.variant))
    except (TooFewRowsError, TooFewSeriesError) as error:
        return TooLittleToLearn(str(error))
    except Exception as error:
        if work.variant is not Variant.TFT:
            raise
        return TooLittleToLearn(f"its fit failed: {type(error).__name__}: {error}"[:300])


def compute_with_models(work: ChunkWork) -> ChunkResult:
    """``compute_chunk`` with trained models.

    Raises:
        UnusableFileError: A model was lost.
        UnusableArtefactError: It is whole, and no model of this version.
    """
    return compute_chunk(work.request, trained(work.models))


def measure_candidates(work: ChunkWork) -> bytes:
    """What every candidate model would have forecast for a block's last known weeks: the summary, as JSON."""
    return json.dumps(compute_with_models(work).summary, sort_keys=True).encode()


def decide_choices(files: tuple[StoredFile, ...]) -> bytes:
    """Choose by the evidence of all blocks."""
    return decide(_summaries(files))


def parameters_of(models: Models) -> dict[str, Any]:
    """Load models, to see whether they can be used; the parameters of each, by name.

    Raises:
        UnusableFileError: One is missing or was altered.
        UnusableArtefactError: One is no model of this version.
    """
    loaded = trained(models)
    found = {"volume": loaded.volume, "revenue": loaded.revenue, "tft": loaded.tft}
    return {name: dict(model.parameters) for name, model in found.items() if model is not None}


def used_by(products: Sequence[PlannedProduct], models: Models) -> Models:
    """Leave out the TFT where no product has a use for it: a process that is not asked for it never loads torch."""
    if any(uses_tft(product) for product in products):
        return models
    return tuple((name, file) for name, file in models if name not in _OF_TFT)


@lru_cache(maxsize=_KEPT_MODELS)
def trained(models: Models) -> Trained:
    """Load models; a process keeps the last ones, and their hashes are part of what they are kept by."""
    return load_trained({name: read_verified(Path(file.path), file.sha256) for name, file in models})


def _summaries(files: tuple[StoredFile, ...]) -> Iterator[dict[str, Any]]:
    for file in files:
        yield json.loads(read_verified(Path(file.path), file.sha256))
