"""The four commands, imperative: what a producer asks for; and when two of them are the same."""

import hashlib
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, overload

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, StringConstraints
from pydantic_core import to_json

from schemas.enums import CommandKind, GatilhoExecucao, ModeloForecast, TopicKind
from schemas.field_errors import validate_wire_data

MAX_PRODUCTS: Final = 50_000
MAX_ID_LENGTH: Final = 64
UUID_PATTERN: Final = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
# PostgreSQL's text cannot hold U+0000.
NO_NUL_PATTERN: Final = r"^[^\u0000]*$"


def _without_duplicates(ids: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(ids))


ExecucaoId = Annotated[str, StringConstraints(pattern=UUID_PATTERN)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID_LENGTH, pattern=NO_NUL_PATTERN)]
Weeks = Annotated[int, Field(ge=1, le=52)]
# Strict would want enum members and tuples, which JSON has not; about JSON's own types these are as strict.
Modelo = Annotated[ModeloForecast, Strict(strict=False)]
Gatilho = Annotated[GatilhoExecucao, Strict(strict=False)]
ProdutoIds = Annotated[
    tuple[Id, ...],
    Strict(strict=False),
    Field(fail_fast=True),  # one bad id refuses the command; 50,000 messages would help nobody
    Field(min_length=1, max_length=MAX_PRODUCTS),
    AfterValidator(_without_duplicates),
]


class _WireModel(BaseModel):
    """Immutable, strict about types, no unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ExecutionCommand(_WireModel):
    """What the three commands that make an execution have in common; use one of its subclasses."""

    kind: ClassVar[CommandKind]

    execucao_id: ExecucaoId | None = Field(
        None, description="UUID of the execution; absent or null: the service makes one. Kept exactly as spelled."
    )
    produto_ids: ProdutoIds | None = Field(
        None,
        description="Products to work on; null: every product with data. A repeated id counts once.\n\n"
        "The record's limit of 1 MiB binds before 50,000 where ids are long: it holds about 26,000 UUIDs.",
    )
    modelo: Modelo | None = Field(None, description="Model for all products; null: chosen per product.")
    gatilho: Gatilho = Field(GatilhoExecucao.MANUAL, description="What triggered the command.")
    created_by: Id | None = Field(
        None, description="Id of the user (`usuario`) behind the command; one that does not exist is rejected."
    )
    priority: Annotated[int, Field(ge=0, le=9)] = Field(5, description="Lower runs first.")


class TrainForecast(ExecutionCommand):
    """Fit and select a model per product, train the global models, store new model versions."""

    kind: ClassVar[CommandKind] = CommandKind.TRAIN

    force_retrain: bool = Field(default=False, description="Train anew even where a fresh model exists.")


class RunForecast(ExecutionCommand):
    """Forecast the coming weeks of each product with the champion models."""

    kind: ClassVar[CommandKind] = CommandKind.PREDICT

    horizonte_semanas: Weeks = Field(13, description="Weeks to forecast.")


class RunBacktest(ExecutionCommand):
    """Hold out the last weeks, forecast them and measure the error."""

    kind: ClassVar[CommandKind] = CommandKind.BACKTEST

    holdout_weeks: Weeks = Field(13, description="Weeks to hold out.")


class CancelExecution(_WireModel):
    """End a queued or running execution in ERRO with the error code `cancelled`."""

    execucao_id: ExecucaoId = Field(description="UUID of the execution to end.")
    motivo: Annotated[str, StringConstraints(max_length=1000, pattern=NO_NUL_PATTERN)] | None = Field(
        None, description="Why, for people."
    )


ForecastCommand = TrainForecast | RunForecast | RunBacktest
Command = ForecastCommand | CancelExecution

COMMAND_TYPES: Final[Mapping[TopicKind, type[Command]]] = MappingProxyType(
    {
        TopicKind.TRAIN: TrainForecast,
        TopicKind.PREDICT: RunForecast,
        TopicKind.BACKTEST: RunBacktest,
        TopicKind.CANCEL: CancelExecution,
    }
)


@cache
def accepted_types(kind: TopicKind | CommandKind) -> tuple[str, str]:
    """Give the two ``ce_type`` that agree with a topic: ``forecast.<kind>``, and that with the version ``.v1``."""
    return f"forecast.{kind}", f"forecast.{kind}.v1"


@overload
def parse_command(kind: CommandKind, data: Mapping[str, Any]) -> ForecastCommand: ...
@overload
def parse_command(kind: TopicKind, data: Mapping[str, Any]) -> Command: ...
def parse_command(kind: TopicKind | CommandKind, data: Mapping[str, Any]) -> Command:
    """Validate a command's data, names in snake_case or camelCase.

    Args:
        kind: What the topic carries.
        data: The parsed JSON object.

    Returns:
        The command that ``COMMAND_TYPES`` names for ``kind``, defaults filled in.

    Raises:
        InvalidCommand: With every field that is wrong (at most 20 of them), and ``execucao_id`` if readable.
    """
    return validate_wire_data(COMMAND_TYPES[TopicKind(kind)], data)


def canonical_data(command: Command) -> dict[str, Any]:
    """Give a command's data as JSON has it: snake_case, every default filled in; ``parse_command`` reads it back."""
    return command.model_dump(mode="json")


def canonical_json(command: Command) -> str:
    """Give the text of ``canonical_data``: a command is flat, so its fields are all that pydantic would write."""
    return to_json(vars(command)).decode()


def data_digest(command: Command) -> bytes:
    """Give the SHA-256 (32 bytes) that is equal for "the same data", which a duplicate is recognised by.

    ``{}`` and ``{"horizonte_semanas": 13}`` are the same prediction: fields at their default are left out, rather
    than filled in, so that an upgrade which adds a field does not change the digest of the commands sent before it.
    The order of ``produto_ids`` counts: a producer that sends a command again sends the same bytes. The order of
    its fields does not; that of ours does, so those that were released stay in it.
    """
    defaults = _defaults(type(command))
    given = {name: value for name, value in vars(command).items() if value != defaults[name]}
    return hashlib.sha256(type(command).__name__.encode() + to_json(given)).digest()


@cache
def _defaults(model: type[Command]) -> Mapping[str, Any]:
    """The default of each field; what equals no value where there is none."""
    return {name: field.default for name, field in model.model_fields.items()}
