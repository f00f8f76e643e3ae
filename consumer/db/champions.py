"""Reading the trained model of a type that is in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consumer.forecasting.champion import Champion

if TYPE_CHECKING:
    from consumer.db.repositories.forecast_repo import ForecastRepository


async def read_champion(forecasts: ForecastRepository, tipo_modelo: str) -> Champion | None:
    """The champion of a type as the transaction sees it, None if there is none."""
    row = await forecasts.champion(tipo_modelo)
    if row is None:
        return None
    error = (row.metricas_treino or {}).get("wape")
    measured = float(error) if isinstance(error, int | float) else None
    return Champion(row.id, row.versao, row.execucao_id, measured, row.arquivo_path, row.parametros or {})
