"""Parts of the log as people write them: times, offsets, positions."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Final

from consumer.cli.failure import CommandError
from consumer.exit_codes import ExitCode
from consumer.kafka.ranges import LogRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_OFFSET: Final = re.compile(r"(\d{1,9}):(\d{1,18})", re.ASCII)
_POSITION: Final = re.compile(r"(\d{1,9})/(\d{1,18})", re.ASCII)


def log_range(
    since: str | None, until: str | None, first: Sequence[str] | None = None, last: Sequence[str] | None = None
) -> LogRange:
    """The part of the log that the options name.

    Raises:
        CommandError: One of them cannot be read, or they leave nothing between them.
    """
    begin, end = _moment("--from", since), _moment("--to", until)
    if begin is not None and end is not None and begin >= end:
        raise wrong(f"--from {since} is not before --to {until}; the range would be empty")
    starts, ends = _offsets("--from-offset", first), _offsets("--to-offset", last)
    for partition in starts.keys() & ends.keys():
        if starts[partition] >= ends[partition]:
            here, there = (f"{partition}:{offset[partition]}" for offset in (starts, ends))
            raise wrong(f"--from-offset {here} is not before --to-offset {there}; the range would be empty")
    return LogRange(begin, end, starts, ends)


def positions(texts: Iterable[str]) -> frozenset[tuple[int, int]]:
    """Partition and offset of each ``P/O``.

    Raises:
        CommandError: One of them is something else.
    """
    found = [(text, _POSITION.fullmatch(text)) for text in texts]
    for text, match in found:
        if match is None:
            raise wrong(f"position {text!r} is not P/O; it must be partition and offset as `dlq list` shows them")
    return frozenset((int(match[1]), int(match[2])) for _, match in found if match is not None)


def around(wanted: Iterable[tuple[int, int]]) -> LogRange:
    """The smallest range that has all these positions."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for partition, offset in wanted:
        first[partition] = min(offset, first.get(partition, offset))
        last[partition] = max(offset + 1, last.get(partition, 0))
    return LogRange(first=first, last=last)


def check_partitions(topic: str, there: Sequence[int], named: Iterable[tuple[str, int]]) -> None:
    """See that the topic has the partitions that options or positions name.

    Args:
        topic: For the message.
        there: The numbers of its partitions.
        named: What names a partition, and its number.

    Raises:
        CommandError: It does not have one of them.
    """
    for what, partition in named:
        if partition not in there:
            has = f"{there[0]} to {there[-1]}" if len(there) > 1 else f"only {there[0]}"
            raise wrong(f"{what} names partition {partition}; {topic} has {has}")


def wrong(message: str) -> CommandError:
    """A usage error."""
    return CommandError(message, exit_code=ExitCode.USAGE)


def _moment(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise wrong(f"{option} is {text!r}; it must be a time with offset such as 2026-11-23T12:00:00Z")
    return moment


def _offsets(option: str, texts: Sequence[str] | None) -> dict[int, int]:
    found: dict[int, int] = {}
    for text in texts or ():
        match = _OFFSET.fullmatch(text)
        if match is None:
            raise wrong(f"{option} is {text!r}; it must be partition:offset such as 0:1500")
        if int(match[1]) in found:
            raise wrong(f"{option} names partition {match[1]} twice; name it once")
        found[int(match[1])] = int(match[2])
    return found
