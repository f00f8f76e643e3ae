"""One chunk of products: a pure function that worker processes run.

A product's numbers depend on its own rows, its plan, what was trained and the seed alone, so neither chunking nor the
number of processes changes them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Final

import numpy as np

from consumer.forecasting.backtesting import error_sums, product_metric
from consumer.forecasting.evidence import Evidence
from consumer.forecasting.fitting import AllModelsFailedError, Fit, candidates, fit_first, product_seed
from consumer.forecasting.forecasts import Sold, given, scores
from consumer.forecasting.gapless import histories
from consumer.forecasting.given import NOTHING_GIVEN, Given
from consumer.forecasting.history import History, rows_by_product
from consumer.forecasting.models.simple import baseline
from consumer.forecasting.revenue import (
    RevenueTooLargeError,
    diverges,
    expected_price,
    revenue_quantiles,
    storable,
)
from consumer.forecasting.summary import Tally
from consumer.forecasting.trained import NOTHING, Trained
from consumer.forecasting.types import (
    QUANTILES,
    ChunkRequest,
    ChunkResult,
    PlannedProduct,
    ProductFailure,
    ProductForecast,
    ProductMetric,
    Variant,
)

if TYPE_CHECKING:
    from datetime import date

NO_DATA: Final = "no-data"
INVALID_DATA: Final = "invalid-data"
MODEL_FAILED: Final = "model-failed"
OUT_OF_RANGE: Final = "out-of-range"

THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_WARM_UP_WEEKS: Final = 16


def warm_up() -> None:
    """Initialise a worker process: one thread a library, the models' library loaded, one tiny fit done."""
    # The variables reach what is loaded later, the limits what is loaded already.
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    volume = np.arange(1.0, _WARM_UP_WEEKS + 1)
    fit_first((Variant.AUTO_ETS, Variant.TSB), History(volume, volume), 1, 0)
    import_module("threadpoolctl").threadpool_limits(1)


def compute_chunk(request: ChunkRequest, trained: Trained = NOTHING) -> ChunkResult:
    """Forecast (predict) or measure (train, backtest) every product of a chunk.

    A product that cannot be computed is in ``failures`` with a code: ``no-data`` (no row, or planned without
    sales), ``invalid-data`` (a volume or revenue is not finite), ``model-failed`` (no model of its plan
    worked) or ``out-of-range`` (the database cannot hold the revenue). It never disturbs the others. A
    product whose first sale lies in the holdout is counted as not measured: that is no failure.

    Args:
        request: The products, their sales and what to do.
        trained: Global models and choices; for train and backtest they must not know the weeks held out. A
            train measures every candidate beside the planned models: ``summary["evidence"]``.

    Raises:
        ValueError: A model knows the weeks that it would be measured on.
    """
    held_out = 0 if request.task == "predict" else request.horizon
    known_until = request.as_of - timedelta(weeks=held_out)
    trained.require_known_until(known_until)
    chunk = _Chunk(request, trained, known_until)
    sold = chunk.read()
    known = [chunk.known(one) for one in sold]
    chunk.given = given(known, known_until, request.horizon, trained, all_candidates=request.task == "train")
    for one in sold:
        chunk.compute(one)
    summary = chunk.tally.to_json()
    if request.task == "train":
        evidence = Evidence(trained.tft is not None, scores=scores(sold, request.as_of, held_out, trained))
        chunk.collect(evidence, sold)
        summary["evidence"] = evidence.to_json()
    return ChunkResult(tuple(chunk.forecasts), tuple(chunk.metrics), tuple(chunk.failures), summary)


@dataclass(slots=True)
class _Chunk:
    """What the products of a chunk have given so far."""

    request: ChunkRequest
    trained: Trained
    known_until: date
    given: dict[str, Given] = field(default_factory=dict)
    forecasts: list[ProductForecast] = field(default_factory=list)
    metrics: list[ProductMetric] = field(default_factory=list)
    failures: list[ProductFailure] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    def read(self) -> list[Sold]:
        """Turn rows into histories; products that have none, or a bad one, fail here."""
        rows = dict(rows_by_product(self.request.sales))
        found = histories(self.request.sales, self.request.as_of)
        sold: list[Sold] = []
        for product in self.request.products:
            self.tally.products += 1
            self.tally.count("chosen_by", product.reason)
            own = rows.get(product.product_id)
            if own is None or not own.week.size:
                self._fail(product, NO_DATA, f"no weekly sales up to {self.request.as_of}")
                continue
            self.tally.hash_rows(product.product_id, own)
            history = found.usable.get(product.product_id)
            if history is None:
                self._fail(product, INVALID_DATA, str(found.refused[product.product_id]))
            else:
                sold.append(Sold.of(product, history))
        return sold

    def known(self, one: Sold) -> Sold:
        """Give what the models may see of a product."""
        if self.request.task == "predict":
            return one
        end = max(one.history.volume.size - self.request.horizon, 0)
        return Sold.of(one.product, History(one.history.volume[:end], one.history.revenue[:end], one.history.notes))

    def compute(self, one: Sold) -> None:
        """Add one product."""
        try:
            if self.request.task == "predict":
                self._predict(one)
            else:
                self._measure(one)
        except AllModelsFailedError as failure:
            self._fail(one.product, MODEL_FAILED, str(failure))
        except RevenueTooLargeError as failure:
            self._fail(one.product, OUT_OF_RANGE, str(failure))

    def collect(self, evidence: Evidence, sold: list[Sold]) -> None:
        """Measure every candidate on every product that can be measured."""
        for one in sold:
            known = self.known(one)
            if not known.history.volume.size:
                continue
            name = one.product.product_id
            seed = product_seed(self.request.seed, name)
            actual = one.history.volume[-self.request.horizon :]
            found = candidates(known.fitted.volume, self.request.horizon, seed, self.given.get(name, NOTHING_GIVEN))
            evidence.measure(one.product, known.history.volume, actual, found)

    def _predict(self, one: Sold) -> None:
        product, history = one.product, one.history
        fit = self._fit(one)
        price = expected_price(history, product.preco_venda)
        revenue = revenue_quantiles(fit.quantiles, price)
        direct = storable(self.given.get(product.product_id, NOTHING_GIVEN).direct_revenue)
        first_week = self.request.as_of + timedelta(weeks=1)
        self.forecasts.append(
            ProductForecast(product.product_id, fit.variant, first_week, fit.quantiles, revenue, direct)
        )
        self.tally.without_price += price is None
        if diverges(revenue, direct):
            self.tally.diverge(product.product_id)
        self._count(product, fit)

    def _measure(self, one: Sold) -> None:
        product, held_out, known = one.product, self.request.horizon, self.known(one)
        if not known.history.volume.size:
            self.tally.leave_out(product.product_id)
            return
        actual = one.history.volume[-held_out:]
        fit = self._fit(known)
        ours, average = error_sums(actual, fit.quantiles), error_sums(actual, baseline(known.fitted.volume, held_out))
        self.metrics.append(product_metric(product, fit.variant, ours))
        if fit.variant is not Variant.MOVING_AVERAGE_12:
            self.metrics.append(product_metric(product, Variant.MOVING_AVERAGE_12, average))
        self.tally.measure(product.classe_abc, fit.variant, ours, average)
        self._count(product, fit)

    def _fit(self, one: Sold) -> Fit:
        """Forecast volume and count the rules that the history needed."""
        product, fitted = one.product, one.fitted
        for note in fitted.notes:
            self.tally.count("history_rules", note)
        if not fitted.volume.size:
            # Rows without one sale: nothing was sold last week either.
            return Fit(Variant.NAIVE, np.zeros((self.request.horizon, len(QUANTILES))), "never sold")
        seed = product_seed(self.request.seed, product.product_id)
        own = self.given.get(product.product_id, NOTHING_GIVEN)
        return fit_first(product.models, fitted, self.request.horizon, seed, own)

    def _count(self, product: PlannedProduct, fit: Fit) -> None:
        self.tally.count("models", fit.variant)
        reasons = [reason for reason in (product.fallback, fit.fallback) if reason]
        if reasons:
            self.tally.count("fallbacks", "; ".join(reasons))

    def _fail(self, product: PlannedProduct, code: str, message: str) -> None:
        failure = ProductFailure(product.product_id, code, message)
        self.failures.append(failure)
        self.tally.fail(failure)
