"""One chunk of products: a pure function that worker processes run.

A product's numbers depend on its own rows, its plan and the seed alone, so neither chunking nor the number of
processes changes them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from typing import Final

import numpy as np

from consumer.forecasting.backtesting import error_sums, product_metric
from consumer.forecasting.fitting import AllModelsFailedError, Fit, fit_first, product_seed
from consumer.forecasting.history import (
    History,
    InvalidSalesError,
    Rows,
    for_fitting,
    gapless,
    rows_by_product,
)
from consumer.forecasting.revenue import RevenueTooLargeError, expected_price, revenue_quantiles
from consumer.forecasting.summary import Tally
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


def compute_chunk(request: ChunkRequest) -> ChunkResult:
    """Forecast (predict) or measure (train, backtest) every product of a chunk.

    A product that cannot be computed is in ``failures`` with a code: ``no-data`` (no row, or planned without
    sales), ``invalid-data`` (a volume or revenue is not finite), ``model-failed`` (no model of its plan
    worked) or ``out-of-range`` (the database cannot hold the revenue). It never disturbs the others. A
    product whose first sale lies in the holdout is counted as not measured: that is no failure.
    """
    rows = dict(rows_by_product(request.sales))
    chunk = _Chunk(request)
    for product in request.products:
        own = rows.get(product.product_id)
        chunk.compute(product, own if own is not None and own.week.size else None)
    return ChunkResult(tuple(chunk.forecasts), tuple(chunk.metrics), tuple(chunk.failures), chunk.tally.to_json())


@dataclass(slots=True)
class _Chunk:
    """What the products of a chunk have given so far."""

    request: ChunkRequest
    forecasts: list[ProductForecast] = field(default_factory=list)
    metrics: list[ProductMetric] = field(default_factory=list)
    failures: list[ProductFailure] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    def compute(self, product: PlannedProduct, rows: Rows | None) -> None:
        """Add one product."""
        self.tally.products += 1
        self.tally.count("chosen_by", product.reason)
        if rows is None:
            self._fail(product, NO_DATA, f"no weekly sales up to {self.request.as_of}")
            return
        try:
            self.tally.hash_rows(product.product_id, rows)
            history = gapless(rows, self.request.as_of)
            if self.request.task == "predict":
                self._predict(product, history)
            else:
                self._measure(product, history)
        except InvalidSalesError as failure:
            self._fail(product, INVALID_DATA, str(failure))
        except AllModelsFailedError as failure:
            self._fail(product, MODEL_FAILED, str(failure))
        except RevenueTooLargeError as failure:
            self._fail(product, OUT_OF_RANGE, str(failure))

    def _predict(self, product: PlannedProduct, history: History) -> None:
        fit = self._fit(product, history)
        price = expected_price(history, product.preco_venda)
        revenue = revenue_quantiles(fit.quantiles, price)
        first_week = self.request.as_of + timedelta(weeks=1)
        self.forecasts.append(ProductForecast(product.product_id, fit.variant, first_week, fit.quantiles, revenue))
        self.tally.without_price += price is None
        self._count(product, fit)

    def _measure(self, product: PlannedProduct, history: History) -> None:
        held_out = self.request.horizon
        if history.volume.size <= held_out:
            self.tally.leave_out(product.product_id)
            return
        known = History(history.volume[:-held_out], history.revenue[:-held_out], history.notes)
        actual = history.volume[-held_out:]
        fit = self._fit(product, known)
        average = fit_first((Variant.MOVING_AVERAGE_12,), for_fitting(known), held_out, 0)
        ours, baseline = error_sums(actual, fit.quantiles), error_sums(actual, average.quantiles)
        self.metrics.append(product_metric(product, fit.variant, ours))
        if fit.variant is not Variant.MOVING_AVERAGE_12:
            self.metrics.append(product_metric(product, Variant.MOVING_AVERAGE_12, baseline))
        self.tally.measure(product.classe_abc, fit.variant, ours, baseline)
        self._count(product, fit)

    def _fit(self, product: PlannedProduct, history: History) -> Fit:
        """Forecast volume and count the rules that the history needed."""
        fitted = for_fitting(history)
        for note in fitted.notes:
            self.tally.count("history_rules", note)
        if not fitted.volume.size:
            # Rows without one sale: nothing was sold last week either.
            return Fit(Variant.NAIVE, np.zeros((self.request.horizon, len(QUANTILES))), "never sold")
        seed = product_seed(self.request.seed, product.product_id)
        return fit_first(product.models, fitted, self.request.horizon, seed)

    def _count(self, product: PlannedProduct, fit: Fit) -> None:
        self.tally.count("models", fit.variant)
        reasons = [reason for reason in (product.fallback, fit.fallback) if reason]
        if reasons:
            self.tally.count("fallbacks", "; ".join(reasons))

    def _fail(self, product: PlannedProduct, code: str, message: str) -> None:
        failure = ProductFailure(product.product_id, code, message)
        self.failures.append(failure)
        self.tally.fail(failure)
