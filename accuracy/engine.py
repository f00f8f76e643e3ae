"""The service's own path on the known weeks: train, then predict, by the functions that its model processes run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from accuracy.sales import HOLDOUT_WEEKS
from consumer.forecasting.choices import decide
from consumer.forecasting.compute import compute_chunk
from consumer.forecasting.planning import plan_products
from consumer.forecasting.trained import available, load_trained
from consumer.forecasting.training import FitRequest, TrainingRequest, fit_model, training_rows
from consumer.forecasting.types import ChunkRequest
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
_TARGETS: Final = {"volume": TargetType.VOLUME, "revenue": TargetType.FATURAMENTO}


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

    def _rows(self, planned: tuple[PlannedProduct, ...]) -> dict[TargetType, list[str]]:
        files: dict[TargetType, list[str]] = {target: [] for target in TargetType}
        total, as_of = len(planned), self._split.as_of
        requests = [
            TrainingRequest(planned[first : first + BLOCK], self._split.block(first, BLOCK), as_of, total, SEED)
            for first in range(0, total, BLOCK)
        ]
        for number, rows in enumerate(self._pool.map(training_rows, requests)):
            for target, content in rows.items():
                path = self._directory / f"{target}-{number}.arrow"
                _write(path, content)
                files[target].append(str(path))
        return files

    def _fit(self, rows: dict[TargetType, list[str]], name: str, known_until: date) -> None:
        requests = [FitRequest(tuple(rows[target]), target, known_until, SEED) for target in _TARGETS.values()]
        for kind, artefact in zip(_TARGETS, self._pool.map(fit_model, requests), strict=True):
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
    names = (*_TARGETS, "choices")
    files = {name: Path(directory) / name for name in names}
    return load_trained({name: path.read_bytes() for name, path in files.items() if path.exists()})


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
