"""``send``: from options to a record, and to the broker."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import typer

from consumer.cli.failure import CommandError, say
from consumer.cli.work.deadlines import deadline
from consumer.cli.work.following import follow
from consumer.cli.work.loading import load_for_tool
from consumer.cli.work.printing import print_json
from consumer.client.message import DEFAULT_SOURCE, Attributes, compose_command, new_command_id
from consumer.clock import SystemClock
from consumer.exit_codes import ExitCode
from schemas.enums import TopicKind
from schemas.errors import BadRecord

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from consumer.client.message import CommandMessage
    from consumer.settings import Settings

Options = dict[str, Any]
# Options that are fields of a command under the same name; what was not given is left to the service's default.
_FIELDS: Final = (
    *("execucao_id", "modelo", "force_retrain", "horizonte_semanas", "holdout_weeks"),
    *("gatilho", "created_by", "priority", "motivo"),
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What becomes of the record; ``timeout`` in seconds."""

    wait: bool
    timeout: float | None
    as_json: bool


def send_from_options(kind: str, options: Options) -> int:
    """Carry out ``send <kind>``; the exit code.

    Raises:
        CommandError: An option or the record is wrong.
        consumer.client.errors.ClientError: The command was not acknowledged.
    """
    settings = load_for_tool()
    topic_kind = TopicKind(kind)
    message = compose_command(
        topic_kind, command_data(options), settings.command_topics[topic_kind], attributes(options)
    )
    if options["validate"]:
        _check(message)
    if options["dry_run"]:
        _print_record(message, as_json=options["as_json"])
        return ExitCode.OK
    return asyncio.run(_deliver(settings, message, Delivery(options["wait"], options["timeout"], options["as_json"])))


def command_data(options: Options) -> dict[str, Any]:
    """The command's fields that were given, as JSON values."""
    data = {name: options[name] for name in _FIELDS if options.get(name) is not None}
    products = list(options.get("produto_id") or ())
    if options.get("produtos_file") is not None:
        products += _read_products(options["produtos_file"])
    return {**data, "produto_ids": products} if products else data


def attributes(options: Options) -> Attributes:
    """The envelope; the id is made here unless it was given."""
    now = SystemClock().now()
    return Attributes(
        source=options["source"] or DEFAULT_SOURCE,
        id=options["command_id"] or new_command_id(),
        time=now,
        correlation_id=options["correlation_id"],
        expires_at=deadline(options["expires_in"], options["expires_at"], now),
    )


def _read_products(path: Path) -> list[str]:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"--produtos-file {path} cannot be read: {type(error).__name__}; it must be a text file in UTF-8"
        raise CommandError(message, exit_code=ExitCode.USAGE) from None
    products = [line.strip() for line in text.splitlines() if line.strip()]
    if not products:
        # Without ids the command would be about every product, which is not what a list asks for.
        message = f"--produtos-file {path} is empty; it must have one product id a line"
        raise CommandError(message, exit_code=ExitCode.USAGE)
    return products


def _check(message: CommandMessage) -> None:
    try:
        message.check()
    except BadRecord as error:
        lines = [field.message for field in error.errors]
        raise CommandError(*lines, exit_code=ExitCode.USAGE) from None


def _print_record(message: CommandMessage, *, as_json: bool) -> None:
    headers = {name: value.decode() for name, value in message.headers}
    value: Mapping[str, Any] = json.loads(message.value)
    if as_json:
        print_json({"topic": message.topic, "key": message.key.decode(), "headers": headers, "value": value})
        return
    typer.echo(f"topic: {message.topic}\nkey: {message.key.decode()}\nheaders:")
    for name, text in headers.items():
        typer.echo(f"  {name}: {text}")
    typer.echo(f"value: {message.value.decode()}")


async def _deliver(settings: Settings, message: CommandMessage, delivery: Delivery) -> int:
    from consumer.client.client import ForecastClient  # noqa: PLC0415 - a dry run needs no Kafka client

    async with ForecastClient(settings, replies=delivery.wait) as client:
        sent = await client.send_message(message)
        if delivery.as_json:
            told = {"event": "sent", "id": sent.id, "source": sent.source, "topic": sent.topic}
            print_json({**told, "execucao_id": sent.execucao_id})
        else:
            typer.echo(sent.id)
            say(f"sent to {sent.topic} as {sent.id}")
        if not delivery.wait:
            return ExitCode.OK
        return await follow(client, sent, delivery.timeout, as_json=delivery.as_json)
