"""``dlq list`` and ``dlq show``."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import typer

from consumer.cli.failure import CommandError, say
from consumer.cli.work.connecting import open_database
from consumer.cli.work.letter_search import LetterQuery, find_letters, read_letters
from consumer.cli.work.loading import load_for_tool
from consumer.cli.work.printing import print_json, print_pairs, print_table
from consumer.cli.work.ranges import around, positions

if TYPE_CHECKING:
    from consumer.cli.work.letter_search import FoundLetter
    from consumer.replay.letters import DeadLetter

_WIDTH: Final = 16  # bytes a line of a dump


def print_letters(query: LetterQuery, *, as_json: bool) -> None:
    """Print the dead letters that match, the oldest first.

    Raises:
        CommandError: The database cannot be reached or read.
        ConsumerError: The broker cannot be reached, or the topic is missing.
    """
    settings = load_for_tool()

    async def read() -> tuple[list[FoundLetter], int]:
        async with open_database() as database:
            return await find_letters(settings, database, query, quiet=as_json)

    found, total = asyncio.run(read())
    if as_json:
        print_json([letter.as_json() for letter in found])
    else:
        show_letters(found)
    if total > len(found):
        say(f"{total - len(found)} more match; --limit shows more")


def show_letters(found: list[FoundLetter]) -> None:
    """A table of letters."""
    columns = ("position", "when", "reason", "error", "original", "id", "decision")
    rows = (
        (one.position, one.when, one.reason, one.error, one.original, f"{one.source} {one.id}", one.decision)
        for one in found
    )
    print_table(columns, rows)


def print_letter(position: str, *, as_json: bool) -> None:
    """Print one dead letter: why, from where, the record's headers and value.

    Raises:
        CommandError: There is none at that position.
        ConsumerError: The broker cannot be reached, or the topic is missing.
    """
    settings = load_for_tool()
    wanted = positions([position])
    query = LetterQuery(around(wanted), positions=wanted)

    async def read() -> list[DeadLetter]:
        found = read_letters(settings, query, "", quiet=True, on_foreign=say)
        return [letter async for letters in found for letter in letters]

    found = asyncio.run(read())
    if not found:
        raise CommandError(f"{settings.topic_dlq} has no dead letter at {position}; `dlq list` shows where they are")
    if as_json:
        print_json(_as_json(found[0]))
    else:
        _show(position, found[0])


def dump(value: bytes) -> str:
    """Bytes as people read them: offset, hexadecimal, and what is printable ASCII."""
    lines = []
    for start in range(0, len(value), _WIDTH):
        part = value[start : start + _WIDTH]
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)  # noqa: PLR2004 - printable ASCII
        lines.append(f"{start:08x}  {part.hex(' '):{3 * _WIDTH}} {shown}")
    return "\n".join(lines)


def readable(value: bytes | None) -> str:
    """JSON with indents, other printable text as it is, anything else as a dump."""
    if value is None:
        return "null"
    try:
        return json.dumps(json.loads(value), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        pass
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return dump(value)
    return text if text and all(one.isprintable() or one in "\n\t" for one in text) else dump(value)


def _show(position: str, letter: DeadLetter) -> None:
    original = letter.original
    source, event_id = letter.identity
    print_pairs(
        f"dead letter {position}",
        {
            "reason": letter.reason,
            "error": letter.error,
            "original": f"{original.topic}/{original.partition}/{original.offset}",
            "identity": f"{source} {event_id}",
            "key": readable(original.key),
            **{f"header {name}": readable(value) for name, value in original.headers},
        },
    )
    typer.echo(readable(original.value))


def _as_json(letter: DeadLetter) -> dict[str, Any]:
    original = letter.original
    source, event_id = letter.identity
    place = {"topic": original.topic, "partition": original.partition, "offset": original.offset}
    return {
        "reason": letter.reason,
        "error": letter.error,
        "source": source,
        "id": event_id,
        "original": {**place, "timestamp_ms": original.timestamp_ms},
        "key": _content(original.key),
        "headers": [[name, _content(value)] for name, value in original.headers],
        "value": _content(original.value),
    }


def _content(value: bytes | None) -> dict[str, str] | None:
    """Text where it is UTF-8, else hexadecimal: nothing is lost."""
    if value is None:
        return None
    try:
        return {"text": value.decode()}
    except UnicodeDecodeError:
        return {"hex": value.hex()}
