"""The enums of the contract: the ten of the planning product, then those that only the wire knows.

Nine of the ten are enum types of the shared database; ``StepStatus`` lives in text columns only. All are
spelled as the backend's database and events spell them.
"""

from enum import StrEnum


class TipoExecucao(StrEnum):
    """What kind of planning run an execution is."""

    FORECAST = "FORECAST"
    MRP = "MRP"
    COMPLETO = "COMPLETO"
    CICLO_DIARIO = "CICLO_DIARIO"
    CICLO_SEMANAL = "CICLO_SEMANAL"
    CICLO_MENSAL = "CICLO_MENSAL"
    PIPELINE_DIARIO = "PIPELINE_DIARIO"


class StatusExecucao(StrEnum):
    """State of an execution: PENDENTE → EXECUTANDO → CONCLUIDO, PARCIAL or ERRO; these three never change."""

    PENDENTE = "PENDENTE"
    EXECUTANDO = "EXECUTANDO"
    CONCLUIDO = "CONCLUIDO"
    ERRO = "ERRO"
    PARCIAL = "PARCIAL"


class GatilhoExecucao(StrEnum):
    """What triggered an execution."""

    MANUAL = "MANUAL"
    AGENDADO = "AGENDADO"
    AUTO_INGESTAO = "AUTO_INGESTAO"


class ModeloForecast(StrEnum):
    """The model families that the backend knows."""

    TFT = "TFT"
    ETS = "ETS"
    CROSTON = "CROSTON"
    LGBM = "LGBM"
    ENSEMBLE = "ENSEMBLE"


class TargetType(StrEnum):
    """What is forecast: units or revenue."""

    VOLUME = "VOLUME"
    FATURAMENTO = "FATURAMENTO"


class Granularidade(StrEnum):
    """Bucket of a row of ``serie_temporal``: day, week or month."""

    DIARIO = "diario"
    SEMANAL = "semanal"
    MENSAL = "mensal"


class ClasseABC(StrEnum):
    """Share of revenue: A up to 80 %, B up to 95 %, C the rest."""

    A = "A"
    B = "B"
    C = "C"


class ClasseXYZ(StrEnum):
    """Regularity of demand by its coefficient of variation, X the steadiest."""

    X = "X"
    Y = "Y"
    Z = "Z"


class PadraoDemanda(StrEnum):
    """Demand pattern after Syntetos and Boylan."""

    REGULAR = "REGULAR"
    INTERMITENTE = "INTERMITENTE"
    ERRATICO = "ERRATICO"
    LUMPY = "LUMPY"


class StepStatus(StrEnum):
    """State of one step of an execution, in ``execucao_step_log.status`` and on ``forecast.step-log``."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"


class CommandKind(StrEnum):
    """What an execution was commanded to do; ``comando`` of every event about it."""

    TRAIN = "train"
    PREDICT = "predict"
    BACKTEST = "backtest"


class TopicKind(StrEnum):
    """What a command topic carries: the three commands that make an execution, and the one that ends it."""

    TRAIN = "train"
    PREDICT = "predict"
    BACKTEST = "backtest"
    CANCEL = "cancel"


class EventType(StrEnum):
    """``ce_type`` of what the service sends."""

    STATUS = "forecast.status.v1"
    STEP_LOG = "forecast.step-log.v1"
    COMMAND_REJECTED = "forecast.command-rejected.v1"


class ErrorCode(StrEnum):
    """Why an execution ended in ERRO: ``error.code`` of its last status event."""

    CANCELLED = "cancelled"
    EXPIRED = "expired"
    NO_DATA = "no-data"
    INVALID_PARAMETERS = "invalid-parameters"
    ATTEMPTS_EXHAUSTED = "attempts-exhausted"
    REJECTED = "rejected"
    INTERNAL = "internal"


class RejectionCode(StrEnum):
    """Why a record was rejected: ``errors[].code`` of a rejection and ``dlq-reason`` of its dead letter.

    The first group cannot be read as a command, the second is readable but wrong, the third is decided by
    what the database already holds.
    """

    NULL_VALUE = "null-value"
    TOO_LARGE = "too-large"
    INVALID_UTF8 = "invalid-utf8"
    INVALID_JSON = "invalid-json"
    NOT_FINITE = "not-finite"
    TOO_DEEP = "too-deep"
    DUPLICATE_FIELD = "duplicate-field"
    NOT_AN_OBJECT = "not-an-object"
    INVALID_ENVELOPE = "invalid-envelope"

    TYPE_MISMATCH = "type-mismatch"
    UNKNOWN_FIELD = "unknown-field"
    MISSING_FIELD = "missing-field"
    BOTH_SPELLINGS = "both-spellings"
    WRONG_TYPE = "wrong-type"
    OUT_OF_RANGE = "out-of-range"
    INVALID_VALUE = "invalid-value"

    ID_REUSED = "id-reused"
    EXECUTION_EXISTS = "execution-exists"
    UNKNOWN_USER = "unknown-user"
    UNKNOWN_EXECUTION = "unknown-execution"
    ALREADY_TERMINAL = "already-terminal"
