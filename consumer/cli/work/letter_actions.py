"""``dlq retry`` and ``dlq discard``: found first, shown, asked about, then done and remembered."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import structlog
import typer

from consumer.cli.failure import say
from consumer.cli.work.connecting import open_database
from consumer.cli.work.letter_search import find_letters, read_letters
from consumer.cli.work.letters import show_letters
from consumer.cli.work.loading import load_for_tool
from consumer.cli.work.printing import print_json
from consumer.cli.work.progress import confirm
from consumer.cli.work.ranges import around, wrong
from consumer.db.letters import SqlLetterDecisions
from consumer.exit_codes import ExitCode
from consumer.kafka.publisher import KafkaPublisher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consumer.cli.work.letter_search import FoundLetter, LetterQuery
    from consumer.db.database import Database
    from consumer.replay.letters import DeadLetter
    from consumer.settings import Settings

Action = Literal["retry", "discard"]


@dataclass(frozen=True, slots=True)
class Manner:
    """How an action is carried out."""

    dry_run: bool
    yes: bool
    as_json: bool


@dataclass(slots=True)
class Outcome:
    """What became of the letters that were found.

    Attributes:
        done: How many were dealt with.
        failed: Why others were not, by position.
        missing: Positions that were named and have no letter, or one that was dealt with before.
    """

    done: int
    failed: dict[str, str]
    missing: list[str]


def act_on_letters(action: Action, query: LetterQuery, manner: Manner) -> int:
    """Retry or discard what the query finds; the exit code.

    Raises:
        CommandError: Nothing narrows the query down, or the database is away.
        ConsumerError: The broker is away.
    """
    if query.asks_for_all:
        raise wrong(f"dlq {action} of which letters? Give positions, --reason, --topic, --from, --to or --limit")
    settings = load_for_tool()
    found, missing = asyncio.run(_find(settings, query, quiet=manner.as_json))
    if missing:
        say(f"not there, or dealt with before (--again takes them nevertheless): {', '.join(missing)}")
    outcome = Outcome(0, {}, missing)
    if not manner.as_json:
        show_letters(found)
    if found and not manner.dry_run:
        places = frozenset((one.partition, one.offset) for one in found)
        again = replace(query, wanted=around(places), positions=places)
        confirm(f"{action.capitalize()} {len(found)} dead letters?", yes=manner.yes)
        asyncio.run(_act(settings, action, again, outcome, quiet=manner.as_json))
    _report(action, found, outcome, manner)
    return ExitCode.FAILED if outcome.failed or outcome.missing else ExitCode.OK


async def _find(settings: Settings, query: LetterQuery, *, quiet: bool) -> tuple[list[FoundLetter], list[str]]:
    """The letters, and which positions are missing: what only the limit leaves out is not."""
    async with open_database() as database:
        found, _ = await find_letters(settings, database, replace(query, limit=None), quiet=quiet)
    missing = query.positions - {(one.partition, one.offset) for one in found}
    return found[: query.limit], [f"{partition}/{offset}" for partition, offset in sorted(missing)]


async def _act(settings: Settings, action: Action, query: LetterQuery, outcome: Outcome, *, quiet: bool) -> None:
    """Read the letters once more, now with their values, and deal with them batch after batch."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database())
        publisher = None
        if action == "retry":
            publisher = await stack.enter_async_context(KafkaPublisher(settings, structlog.get_logger("dlq")))
        reading = read_letters(settings, query, f"dlq {action}", quiet=quiet)
        pieces = await stack.enter_async_context(aclosing(reading))
        async for letters in pieces:
            if publisher is None:
                await _discard(database, letters, outcome)
            else:
                await _put_back(settings, publisher, database, letters, outcome)


async def _discard(database: Database, letters: Sequence[DeadLetter], outcome: Outcome) -> None:
    await SqlLetterDecisions(database).record([letter.raw for letter in letters], "discarded")
    outcome.done += len(letters)


async def _put_back(
    settings: Settings,
    publisher: KafkaPublisher,
    database: Database,
    letters: Sequence[DeadLetter],
    outcome: Outcome,
) -> None:
    """Publish, then remember: after a crash in between the next retry sends a duplicate, which intake drops."""
    known = set(settings.command_topics.values())
    for letter in letters:
        if letter.original.topic not in known:
            outcome.failed[_place(letter)] = f"{letter.original.topic} is no command topic of these settings"
    good = [letter for letter in letters if letter.original.topic in known]
    results = await publisher.publish([letter.put_back() for letter in good])
    sent = [letter for letter, error in zip(good, results, strict=True) if error is None]
    await SqlLetterDecisions(database).record([letter.raw for letter in sent], "retried")
    outcome.done += len(sent)
    outcome.failed |= {_place(one): str(error) for one, error in zip(good, results, strict=True) if error is not None}


def _place(letter: DeadLetter) -> str:
    return f"{letter.raw.partition}/{letter.raw.offset}"


def _report(action: Action, found: list[FoundLetter], outcome: Outcome, manner: Manner) -> None:
    for position, why in outcome.failed.items():
        say(f"{position} was not put back: {why}")
    if manner.as_json:
        letters = [one.as_json() for one in found]
        head = {"action": action, "dry_run": manner.dry_run, "found": len(found), "done": outcome.done}
        print_json({**head, "failed": outcome.failed, "missing": outcome.missing, "letters": letters})
    elif manner.dry_run:
        typer.echo(f"{action}: {len(found)} would be dealt with")
    else:
        typer.echo(f"{action}: {outcome.done} of {len(found)} done")
