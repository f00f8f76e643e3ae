"""Reading the trained model of a type that is in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from consumer.forecasting.champion import Champion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consumer.db.repositories.forecast_repo import ForecastRepository


async def read_champion(forecasts: ForecastRepository, tipo_modelo: str) -> Champion | None:
    """The champion of a type as the transaction sees it, None if there is none."""
    row = await forecasts.champion(tipo_modelo)
    if row is None:
        return None
    error, baseline = (_number(row.metricas_treino, name) for name in ("wape", "baseline_wape"))
    return Champion(row.id, row.versao, row.execucao_id, error, row.arquivo_path, row.parametros or {}, baseline)


def _number(measured: Mapping[str, Any] | None, name: str) -> float | None:
    found = (measured or {}).get(name)
    return float(found) if isinstance(found, int | float) else None
