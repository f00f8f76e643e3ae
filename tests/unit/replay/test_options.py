from __future__ import annotations

from datetime import UTC, datetime

import pytest

from consumer.cli.failure import CommandError
from consumer.cli.work.letters import dump, readable
from consumer.cli.work.ranges import around, log_range, positions
from consumer.cli.work.replay_plan import checked_replay_id, default_replay_id, ordered_topics
from consumer.exit_codes import ExitCode
from consumer.kafka.ranges import LogRange
from consumer.settings import Settings
from tests.builders import record
from tests.unit.cli.invoking import invoke, isolated

__all__ = ["isolated"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("replay", "forecast.status"), "forecast.status is no command topic; replay one of forecast.train"),
        (("replay", "forecast.train", "--policy", "redo"), "must be one of missing, reemit, rerun"),
        (("replay", "forecast.train", "--from", "yesterday"), "--from is 'yesterday'; it must be a time with offset"),
        (("replay", "forecast.train", "--to", "2026-01-01"), "--to is '2026-01-01'; it must be a time with offset"),
        (("replay", "forecast.train", "--from-offset", "7"), "--from-offset is '7'; it must be partition:offset"),
        (("replay", "forecast.train", "--to-offset", "1:2", "--to-offset", "1:3"), "names partition 1 twice"),
        (("replay", "forecast.train", "forecast.predict", "--from-offset", "0:1"), "name one TOPIC"),
        (("replay", "forecast.train", "--replay-id", "a b"), "--replay-id is 'a b'; it must be"),
        (("replay", "forecast.train", "--policy", "rerun"), "Give --yes to do it, or --dry-run"),
        (("replay", "forecast.train", "--older"), "Give --yes to do it, or --dry-run"),
        (("dlq", "retry"), "of which letters?"),
        (("dlq", "discard", "--again"), "of which letters?"),
        (("dlq", "list", "--reason", "typo"), "'typo' is not one of 'null-value', 'too-large'"),
        (("dlq", "retry", "--reason", "unknown-user", "--reason", "typo"), "'typo' is not one of 'null-value'"),
        (("models", "list", "--tipo", "XYZ"), "'XYZ' is not one of 'TFT', 'ETS'"),
        (("watch", "--execucao-id", "nope"), "--execucao-id is 'nope'; it must be a UUID such as 0190b2c4-"),
        (("dlq", "show", "12"), "position '12' is not P/O"),
    ],
)
def test_wrong_option_is_one_hint_and_code_2(arguments: tuple[str, ...], told: str) -> None:
    """What cannot be meant is refused before anything connects, with what would be right."""
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (ExitCode.USAGE, "")
    assert told in result.stderr


def test_empty_time_range_is_refused() -> None:
    """A range that ends before it begins is a mistake, not an empty answer."""
    with pytest.raises(CommandError, match="the range would be empty"):
        log_range("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z")


@pytest.mark.parametrize("last", ["0:1", "0:5"])
def test_empty_offset_range_is_refused(last: str) -> None:
    """Offsets that leave nothing between them are a mistake as well, and say where."""
    with pytest.raises(CommandError, match=f"--from-offset 0:5 is not before --to-offset {last}"):
        log_range(None, None, ["1:7", "0:5"], ["1:8", last])


def test_range_has_its_start_and_not_its_end() -> None:
    """A record at the first bound is in the range, one at the last is not, one without a time is in neither."""
    bounds = log_range("1970-01-01T00:00:01Z", "1970-01-01T00:00:02Z")
    assert bounds.since == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert [bounds.holds(record(offset=offset)) for offset in (-1, 0, 999, 1000)] == [False, True, True, False]
    assert not bounds.holds(record(offset=-1001))
    assert LogRange().holds(record(offset=-1001))


def test_offsets_name_the_partitions() -> None:
    """Where offsets are given, other partitions are left out; without any all are read."""
    bounds = log_range(None, None, ["0:5"], ["2:9"])
    assert [bounds.covers(number) for number in range(3)] == [True, False, True]
    assert LogRange().covers(7)


def test_positions_are_read_in_one_span_a_partition() -> None:
    """The range around positions has each of them."""
    bounds = around(positions(["1/7", "1/3", "0/2"]))
    assert (bounds.first, bounds.last) == ({1: 3, 0: 2}, {1: 8, 0: 3})


def test_default_replay_id_is_repeatable() -> None:
    """The same topics and range give the same id in any order and time zone, others another one."""
    here, there = (log_range(text, None) for text in ("2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00Z"))
    assert default_replay_id(["a", "b"], here) == default_replay_id(["b", "a"], there)
    assert default_replay_id(["a"], here) != default_replay_id(["a"], LogRange())
    assert checked_replay_id(default_replay_id(["a"], here))


def test_cancellations_are_replayed_last() -> None:
    """Whatever the order on the command line, commands come before what cancels them."""
    settings = Settings(_env_file=None)  # type: ignore[call-arg]  # pydantic-settings' own argument
    assert ordered_topics(settings, ["forecast.cancel", "forecast.predict", "forecast.train"]) == [
        "forecast.train",
        "forecast.predict",
        "forecast.cancel",
    ]


def test_values_are_shown_as_what_they_are() -> None:
    """JSON is indented, text stays text, bytes and terminal commands become a dump."""
    assert readable(b'{"a":1}') == '{\n  "a": 1\n}'
    assert readable("olá".encode()) == "olá"
    assert readable(None) == "null"
    assert readable(b"\xffA").startswith("00000000  ff 41 ")
    assert readable(b"\x1b[2J") == dump(b"\x1b[2J")
    assert readable(b"[" * 100_000).startswith("[[[")
