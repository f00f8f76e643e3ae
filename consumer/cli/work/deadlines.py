"""Deadlines as people write them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from consumer.cli.failure import CommandError
from consumer.exit_codes import ExitCode

_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([smhd]?)", re.ASCII)
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def deadline(expires_in: str | None, expires_at: str | None, now: datetime) -> datetime | None:
    """The moment that one of the two options names, None without either.

    Raises:
        CommandError: Both were given, or the one cannot be read.
    """
    if expires_in is not None and expires_at is not None:
        raise _wrong("--expires-in and --expires-at were both given; give one of them")
    if expires_in is not None:
        return _after(expires_in, now)
    return None if expires_at is None else _at(expires_at)


def _after(text: str, now: datetime) -> datetime:
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise _wrong(f"--expires-in is {text!r}; it must be seconds, or a number with s, m, h or d such as 15m")
    try:
        return now + timedelta(seconds=float(found[1]) * _SECONDS[found[2]])
    except OverflowError:
        raise _wrong(f"--expires-in is {text!r}; it must end before the year 10000") from None


def _at(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise _wrong(f"--expires-at is {text!r}; it must be a time with offset such as 2026-11-23T12:00:00Z")
    return moment


def _wrong(message: str) -> CommandError:
    return CommandError(message, exit_code=ExitCode.USAGE)
