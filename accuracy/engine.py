"""The service's own path on the known weeks: train, then predict, by the functions that its model processes run.

With a TFT where the extra ``tft`` is installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from accuracy.sales import HOLDOUT_WEEKS
from consumer.forecasting.choices import decide
from consumer.forecasting.compute import compute_chunk
from consumer.forecasting.global_model.tft import installed
from consumer.forecasting.planning import plan_products
from consumer.forecasting.trained import available, load_trained
from consumer.forecasting.training import FitRequest, TrainingRequest, fit_model, training_rows
from consumer.forecasting.types import ChunkRequest, Variant
from schemas.enums import TargetType

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from datetime import date
    from typing import Literal

    from accuracy.sales import Split
    from consumer.forecasting.trained import Trained
    from consumer.forecasting.types import ChunkResult, PlannedProduct

SEED: Final = 0
BLOCK: Final = 200
CUT, FINAL = "cut", "final"
_FITS: Final = {
    "volume": (TargetType.VOLUME, Variant.LGBM),
    "revenue": (TargetType.FATURAMENTO, Variant.LGBM),
    **({"tft": (TargetType.VOLUME, Variant.TFT)} if installed() else {}),
}


@dataclass(frozen=True, slots=True)
class Work:
    """A chunk, and the directory with what was trained."""

    request: ChunkRequest
    directory: str


class Engine:
    """Trains and predicts in worker processes.

    Args:
        split: Of which only the known weeks are looked at.
        pool: Of processes.
        directory: For the rows to learn from and the artefacts.
    """

    def __init__(self, split: Split, pool: Executor, directory: Path) -> None:
        self._split = split
        self._pool = pool
        self._directory = directory
        self._of_products = (split.profiles(), split.overviews(), split.shapes())

    def train(self) -> None:
        """Leave the artefacts of a train on all known weeks in the directory ``FINAL``."""
        as_of, planned = self._split.as_of, self.plan(self._directory / "nothing")
        rows = self._rows(planned)
        self._fit(rows, CUT, as_of - timedelta(weeks=HOLDOUT_WEEKS))
        evidence = self._compute(planned, "train", self._directory / CUT)
        _write(self._directory / FINAL / "choices", decide(result.summary for result in evidence))
        self._fit(rows, FINAL, as_of)

    def plan(self, directory: Path | None = None) -> tuple[PlannedProduct, ...]:
        """Choose the models of each product as a predict does after the train."""
        trained = trained_in(str(directory or self._directory / FINAL))
        profiles, overviews, shapes = self._of_products
        return plan_products(
            profiles,
            overviews,
            shapes,
            as_of=self._split.as_of,
            available=available(trained),
            choices=trained.choices,
        )

    def predict(self, planned: tuple[PlannedProduct, ...]) -> list[ChunkResult]:
        """Forecast what was held out, a result a block of products."""
        return self._compute(planned, "predict", self._directory / FINAL)

    def works(self, planned: tuple[PlannedProduct, ...]) -> list[Work]:
        """Give what ``predict`` does, block by block, for who wants to do something else with it."""
        return self._works(planned, "predict", self._directory / FINAL)

    def _rows(self, planned: tuple[PlannedProduct, ...]) -> dict[str, list[str]]:
        files: dict[str, list[str]] = {kind: [] for kind in _FITS}
        total, as_of = len(planned), self._split.as_of
        requests = [
            TrainingRequest(
                planned[first : first + BLOCK], self._split.block(first, BLOCK), as_of, total, SEED, "tft" in _FITS
            )
            for first in range(0, total, BLOCK)
        ]
        for number, rows in enumerate(self._pool.map(training_rows, requests)):
            for kind, (target, variant) in _FITS.items():
                content = rows.series if variant is Variant.TFT else rows.by_target[target]
                path = self._directory / f"{kind}-{number}.arrow"
                _write(path, content or b"")
                files[kind].append(str(path))
        return files

    def _fit(self, rows: dict[str, list[str]], name: str, known_until: date) -> None:
        requests = [
            FitRequest(tuple(rows[kind]), target, known_until, SEED, variant)
            for kind, (target, variant) in _FITS.items()
        ]
        for kind, artefact in zip(_FITS, self._pool.map(fit_model, requests), strict=True):
            _write(self._directory / name / kind, artefact)

    def _compute(
        self, planned: tuple[PlannedProduct, ...], task: Literal["train", "predict"], directory: Path
    ) -> list[ChunkResult]:
        return list(self._pool.map(compute, self._works(planned, task, directory)))

    def _works(
        self, planned: tuple[PlannedProduct, ...], task: Literal["train", "predict"], directory: Path
    ) -> list[Work]:
        split = self._split
        parts = [(planned[at : at + BLOCK], split.block(at, BLOCK)) for at in range(0, len(planned), BLOCK)]
        return [
            Work(ChunkRequest(task, products, sales, split.as_of, HOLDOUT_WEEKS, SEED), str(directory))
            for products, sales in parts
        ]


def compute(work: Work) -> ChunkResult:
    """Compute a chunk in a worker process."""
    return compute_chunk(work.request, trained_in(work.directory))


@lru_cache(maxsize=2)
def trained_in(directory: str) -> Trained:
    """Load what is in a directory."""
    names = (*_FITS, "choices")
    files = {name: Path(directory) / name for name in names}
    return load_trained({name: path.read_bytes() for name, path in files.items() if path.exists()})


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
