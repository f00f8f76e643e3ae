"""A job that trains, with real files in a directory of the test."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from consumer.forecasting.champion import Champion
from tests.builders import uuid
from tests.fakes import FakeSales
from tests.unit.core.job_bench import Bench

if TYPE_CHECKING:
    from pathlib import Path

PRODUCTS, WEEKS = 12, 50


def volumes(products: int = PRODUCTS, weeks: int = WEEKS) -> dict[str, list[float]]:
    """Every other product sells in two weeks of five."""
    randomness = np.random.default_rng(3)
    sold = {
        f"p{number:02d}": randomness.poisson(6 + number, weeks) * (randomness.random(weeks) < (0.4, 1.0)[number % 2])
        for number in range(products)
    }
    return {name: one.astype(float).tolist() for name, one in sold.items()}


class Training(Bench):
    """A bench with global models; ``bundle`` is what a train stored."""

    def __init__(self, artefacts: Path, products: int = PRODUCTS, **options: Any) -> None:
        before, clock = options.pop("before", None), options.pop("clock", None)
        chosen = {"chunk_products": 5, "global_products": PRODUCTS, **options}
        super().__init__(FakeSales(volumes(products)), artefacts=artefacts, before=before, clock=clock, **chosen)
        self.root = artefacts

    @property
    def resumo(self) -> dict[str, Any]:
        return self.statuses[-1].resultado_resumo or {}

    @property
    def bundle(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted((self.root / "models").rglob("LGBM/*.json"))}

    @property
    def learned_from(self) -> str:
        """The hash of the sales behind the models."""
        return str(self.resumo["trained_models"]["data_hash"])

    @property
    def details(self) -> dict[int, dict[str, Any]]:
        return {int(step): state.details or {} for step, state in self.stored.execution.steps.items()}

    @property
    def work(self) -> Counter[str]:
        """How often a model process was asked for each thing that takes its time."""
        return Counter(type(one).__name__ for one in self.compute.requests if not isinstance(one, tuple))

    def asked(self, kind: type) -> list[Any]:
        return [request for request in self.compute.requests if isinstance(request, kind)]


def champion_of(trained: Training, family: str = "LGBM", **changes: Any) -> Champion:
    """The stored model of a family as the database would give it back."""
    [model] = [model for model, _ in trained.stored.models if model.tipo_modelo == family]
    found = Champion("m", 3, uuid(1), model.error, model.arquivo_path, json.loads(json.dumps(model.parametros)))
    return replace(found, **changes)
