"""The three events, past tense: what the service tells. Their field order is the contract's."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Final, Self, TypeVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import to_json

from schemas.enums import CommandKind, ErrorCode, GatilhoExecucao, StatusExecucao, StepStatus
from schemas.errors import FieldError

TERMINAL_STATUSES: Final = frozenset({StatusExecucao.CONCLUIDO, StatusExecucao.PARCIAL, StatusExecucao.ERRO})


@lru_cache(64)  # what happens in one transaction happens at few moments, each told several times an event
def iso_milliseconds(moment: datetime) -> str:
    """Write an aware datetime as the wire has it: UTC, milliseconds, ``Z``, like JavaScript's ``toISOString``."""
    utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds")[:-6] + "Z"


Moment = Annotated[
    AwareDatetime,
    PlainSerializer(iso_milliseconds, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Count = Annotated[int, Field(ge=0)]
Percent = Annotated[int, Field(ge=0, le=100)]
Sequence = Annotated[int, Field(ge=1)]


class _Event(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        json_schema_serialization_defaults_required=True,
    )

    def to_json(self) -> bytes:
        """Give the event's wire form: compact JSON, UTF-8; it begins with an opening brace."""
        return to_json(self)


class Progress(_Event):
    """How far a running execution is."""

    percent: Percent = Field(description="Share of the whole execution that is done.")
    step: Annotated[int, Field(ge=1)] = Field(description="Number of the current step, from 1.")
    total_steps: Annotated[int, Field(ge=1)] = Field(description="Number of steps.")
    step_name: str = Field(description="Name of the current step.")
    products_processed: Count = Field(description="Products finished so far.")
    products_total: Count = Field(description="Products in all.")
    eta_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        None, description="Estimated seconds to the end; null while unknown."
    )


class ErrorInfo(_Event):
    """Why an execution ended in ERRO."""

    code: ErrorCode | str = Field(description="One of the known codes; later services may add some.")
    message: str = Field(description="For people.")


class ExecutionStatusChanged(_Event):
    """A status change or progress of an execution, on `forecast.status`; the first of each is PENDENTE."""

    execucao_id: str = Field(description="The execution.")
    comando: CommandKind = Field(description="What it was commanded to do.")
    status: StatusExecucao = Field(description="Its state in `execucao_planejamento`.")
    terminal: bool = Field(
        default_factory=lambda fields: fields.get("status") in TERMINAL_STATUSES,
        description="True when no other status will follow: CONCLUIDO, PARCIAL or ERRO. Follows from `status`.",
    )
    sequence: Sequence = Field(description="1..n without gaps per execution on this topic.")
    attempt: Count = Field(description="Which attempt runs; 0 before the first.")
    gatilho: GatilhoExecucao = Field(description="What triggered the execution.")
    progress: Progress | None = Field(None, description="How far it is; null before it begins and after ERRO.")
    resultado_resumo: dict[str, Any] | None = Field(None, description="Summary of the results; null until the end.")
    error: ErrorInfo | None = Field(None, description="Why it ended in ERRO; null otherwise.")
    replay_of: str | None = Field(None, description="The execution that this one repeats, if it is a replay.")
    occurred_at: Moment = Field(description="When, UTC with milliseconds.")

    @model_validator(mode="after")
    def _terminal_follows_from_status(self) -> Self:
        if self.terminal != (self.status in TERMINAL_STATUSES):
            raise ValueError(f"terminal must be {not self.terminal} when status is {self.status}")
        return self


class StepLogged(_Event):
    """A step of an execution began, went on or ended, on `forecast.step-log`."""

    execucao_id: str = Field(description="The execution.")
    comando: CommandKind = Field(description="What it was commanded to do.")
    sequence: Sequence = Field(description="1..n without gaps per execution on this topic.")
    attempt: Count = Field(description="Which attempt runs.")
    step_name: Annotated[str, Field(max_length=50)] = Field(description="Name of the step.")
    step_order: Annotated[int, Field(ge=1)] = Field(description="Number of the step, from 1.")
    total_steps: Annotated[int, Field(ge=1)] = Field(description="Number of steps.")
    status: StepStatus = Field(description="State of the step.")
    records_processed: Count | None = Field(None, description="Records read or written by the step.")
    duration_ms: Count | None = Field(None, description="How long the step took; null until it ended.")
    details: dict[str, Any] = Field(
        default_factory=dict, description="What else is worth knowing, such as the reason of SKIPPED."
    )
    products_processed: Count | None = Field(None, description="Products finished in the step.")
    products_total: Count | None = Field(None, description="Products of the step.")
    percent: Percent | None = Field(None, description="Share of the step that is done.")
    started_at: Moment | None = Field(None, description="When the step began.")
    completed_at: Moment | None = Field(None, description="When the step ended; null until then.")
    occurred_at: Moment = Field(description="When this was said, UTC with milliseconds.")


class CommandRejected(_Event):
    """A record was refused, on `forecast.status`; the record itself is on `forecast.dlq`."""

    source: str = Field(description="First half of the command's identity.")
    id: str = Field(description="Second half of the command's identity.")
    topic: str = Field(description="Where the record stands.")
    partition: Count = Field(description="Where the record stands.")
    offset: Count = Field(description="Where the record stands.")
    execucao_id: str | None = Field(None, description="The execution that the command names, if that could be read.")
    errors: Annotated[tuple[FieldError, ...], Field(min_length=1)] = Field(
        description="Every reason: where, which, and what would be right."
    )
    occurred_at: Moment = Field(description="When, UTC with milliseconds.")


EventT = TypeVar("EventT", bound=_Event)


class UnreadableEventError(ValueError):
    """A value that is no event of the expected type."""


def parse_status(value: bytes) -> ExecutionStatusChanged:
    """Read a value of type ``forecast.status.v1`` as a subscriber must: unknown fields are ignored.

    Raises:
        UnreadableEventError: If it is not such an event.
    """
    return _parse(ExecutionStatusChanged, value)


def parse_step_log(value: bytes) -> StepLogged:
    """Read a value of type ``forecast.step-log.v1``, as ``parse_status`` does."""
    return _parse(StepLogged, value)


def parse_rejection(value: bytes) -> CommandRejected:
    """Read a value of type ``forecast.command-rejected.v1``, as ``parse_status`` does."""
    return _parse(CommandRejected, value)


def _parse(model: type[EventT], value: bytes) -> EventT:
    try:
        return model.model_validate_json(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "value"
        raise UnreadableEventError(f"no {model.__name__}: {where}: {first['msg']}") from error
