"""An example of each message: in the generated documents, and held to the schemas by a test."""

from collections.abc import Mapping
from typing import Any, Final

from schemas.enums import EventType, TopicKind

EXECUCAO_ID: Final = "0190b2c4-7b1e-7cc3-98c4-dc0c0c07398f"
_MOMENT: Final = "2026-11-23T12:00:00.000Z"

COMMAND_EXAMPLES: Final[Mapping[TopicKind, Mapping[str, Any]]] = {
    TopicKind.TRAIN: {"execucao_id": EXECUCAO_ID, "force_retrain": True, "gatilho": "AGENDADO", "priority": 7},
    TopicKind.PREDICT: {
        "execucaoId": EXECUCAO_ID,
        "produtoIds": ["7f0c2f7e-8d4b-4c8a-9d55-0a4f5f3a9a11", "1c7f3a52-51a7-4f0e-8e8c-6a0a3a1f2b77"],
        "modelo": None,
        "horizonteSemanas": 26,
    },
    TopicKind.BACKTEST: {"holdout_weeks": 13, "modelo": "ETS"},
    TopicKind.CANCEL: {"execucao_id": EXECUCAO_ID, "motivo": "started by mistake"},
}

EVENT_EXAMPLES: Final[Mapping[EventType, Mapping[str, Any]]] = {
    EventType.STATUS: {
        "execucao_id": EXECUCAO_ID,
        "comando": "train",
        "status": "EXECUTANDO",
        "terminal": False,
        "sequence": 4,
        "attempt": 1,
        "gatilho": "MANUAL",
        "progress": {
            "percent": 40,
            "step": 4,
            "total_steps": 10,
            "step_name": "execute_ets",
            "products_processed": 800,
            "products_total": 2000,
            "eta_seconds": 12.5,
        },
        "resultado_resumo": None,
        "error": None,
        "replay_of": None,
        "occurred_at": _MOMENT,
    },
    EventType.STEP_LOG: {
        "execucao_id": EXECUCAO_ID,
        "comando": "train",
        "sequence": 7,
        "attempt": 1,
        "step_name": "execute_ets",
        "step_order": 4,
        "total_steps": 10,
        "status": "COMPLETED",
        "records_processed": 2000,
        "duration_ms": 1840,
        "details": {},
        "products_processed": 2000,
        "products_total": 2000,
        "percent": 100,
        "started_at": "2026-11-23T11:59:58.160Z",
        "completed_at": _MOMENT,
        "occurred_at": _MOMENT,
    },
    EventType.COMMAND_REJECTED: {
        "source": "/backend/planning",
        "id": "c0ffee00-0000-4000-8000-000000000001",
        "topic": "forecast.predict",
        "partition": 2,
        "offset": 4711,
        "execucao_id": EXECUCAO_ID,
        "errors": [
            {
                "path": "horizonteSemanas",
                "code": "out-of-range",
                "message": "horizonteSemanas is the integer 60; it must be an integer from 1 to 52; left out, it is 13",
            }
        ],
        "occurred_at": _MOMENT,
    },
}
