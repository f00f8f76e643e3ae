"""Each of the engine's models on every product, whatever the plan would be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from accuracy.engine import SEED, trained_in
from consumer.forecasting.fitting import forecast, product_seed
from consumer.forecasting.forecasts import Sold, given
from consumer.forecasting.gapless import histories
from consumer.forecasting.given import NOTHING_GIVEN
from consumer.forecasting.global_model.tft import installed
from consumer.forecasting.models import LOCAL_MODELS
from consumer.forecasting.types import QUANTILES, Variant

if TYPE_CHECKING:
    from accuracy.engine import Work
    from consumer.forecasting.types import FloatArray

MODELS: Final = (*((Variant.TFT,) if installed() else ()), Variant.LGBM, Variant.ENSEMBLE, *LOCAL_MODELS)


def alone(request: tuple[Variant, Work]) -> FloatArray:
    """Forecast a block with one model; where it fails, as on a history of five weeks, with the last value.

    Returns:
        ``(n, horizon, 5)`` units.
    """
    variant, work = request
    chunk, trained = work.request, trained_in(work.directory)
    products = {product.product_id: product for product in chunk.products}
    known = histories(chunk.sales, chunk.as_of).usable
    sold = [Sold.of(products[name], history) for name, history in known.items()]
    own_models = variant in LOCAL_MODELS
    told = {} if own_models else given(sold, chunk.as_of, chunk.horizon, trained, all_candidates=True)
    result = np.empty((len(sold), chunk.horizon, len(QUANTILES)))
    for number, one in enumerate(sold):
        history = one.fitted.volume
        name = one.product.product_id
        seed, own = product_seed(SEED, name), told.get(name, NOTHING_GIVEN)
        quantiles, problem = forecast(variant, history, chunk.horizon, seed, own)
        if problem is not None:
            quantiles, _ = forecast(Variant.NAIVE, history, chunk.horizon, seed)
        result[number] = quantiles
    return result
