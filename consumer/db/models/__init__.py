"""The tables that the service shares with the backend, mapped exactly as the backend's migrations make them.

The backend owns them: the service reads and writes rows. Ids are text made by the writer. Every relationship
raises when it is loaded by accident: a lazy load inside asyncio is an error at best.
"""

from consumer.db.models.base import Base
from consumer.db.models.catalogue import Produto, Usuario
from consumer.db.models.execution import ExecucaoPlanejamento, ExecucaoStepLog
from consumer.db.models.forecast import ForecastMetrica, ForecastModelo, ForecastResultado
from consumer.db.models.history import SerieTemporal, SkuClassification

__all__ = [
    "Base",
    "ExecucaoPlanejamento",
    "ExecucaoStepLog",
    "ForecastMetrica",
    "ForecastModelo",
    "ForecastResultado",
    "Produto",
    "SerieTemporal",
    "SkuClassification",
    "Usuario",
]
