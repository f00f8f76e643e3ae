from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from consumer.cli.failure import CommandError
from consumer.cli.work.deadlines import deadline
from consumer.exit_codes import ExitCode
from schemas.commands import parse_command
from schemas.enums import TopicKind
from tests.unit.cli.invoking import invoke

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
EXECUTION = "0190b2c4-7b1e-7cc3-98c4-dc0c0c07398f"
COMMON = ("--execucao-id", EXECUTION, "--produto-id", "a", "--produto-id", "b", "--modelo", "ETS")
WHO = ("--gatilho", "AGENDADO", "--created-by", "u-1", "--priority", "2")
COMMON_FIELDS: dict[str, Any] = {
    "execucao_id": EXECUTION,
    "produto_ids": ["a", "b"],
    "modelo": "ETS",
    "gatilho": "AGENDADO",
    "created_by": "u-1",
    "priority": 2,
}


def dry_run(*arguments: str, stdin: str | None = None, env: dict[str, str] | None = None) -> dict[str, Any]:
    result = invoke("send", *arguments, "--dry-run", "--json", stdin=stdin, env=env)
    assert (result.exit_code, result.stderr) == (0, "")
    record: dict[str, Any] = json.loads(result.stdout)
    return record


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        (("train", *COMMON, *WHO, "--force-retrain"), {**COMMON_FIELDS, "force_retrain": True}),
        (("predict", *COMMON, *WHO, "--horizonte-semanas", "26"), {**COMMON_FIELDS, "horizonte_semanas": 26}),
        (("backtest", *COMMON, *WHO, "--holdout-weeks", "8"), {**COMMON_FIELDS, "holdout_weeks": 8}),
        (("cancel", "--execucao-id", EXECUTION, "--motivo", "typo"), {"execucao_id": EXECUTION, "motivo": "typo"}),
    ],
    ids=["train", "predict", "backtest", "cancel"],
)
def test_every_field_has_an_option(arguments: tuple[str, ...], fields: dict[str, Any]) -> None:
    """Each field of the contract can be given, and arrives under its name on the right topic."""
    record = dry_run(*arguments)
    assert (record["topic"], record["value"], record["key"]) == (f"forecast.{arguments[0]}", fields, EXECUTION)
    model = type(parse_command(TopicKind(arguments[0]), fields))
    assert fields.keys() == model.model_fields.keys()


def test_envelope_options_are_headers() -> None:
    """Identity, correlation and deadline come from their options."""
    given = ("--id", "c-1", "--source", "/nightly", "--correlation-id", "corr", "--expires-at", "2026-11-23T12:00:00Z")
    headers = dry_run("train", *given)["headers"]
    assert (headers["ce_id"], headers["ce_source"], headers["ce_correlationid"]) == ("c-1", "/nightly", "corr")
    assert headers["ce_expirytime"] == "2026-11-23T12:00:00.000Z"
    assert headers["content-type"] == "application/json"


def test_each_command_gets_an_id_of_its_own() -> None:
    """Without ``--id`` two commands are never the same one."""
    first, second = (dry_run("train") for _ in range(2))
    assert first["headers"]["ce_id"] != second["headers"]["ce_id"]


def test_nothing_given_is_an_empty_object() -> None:
    """A command without options leaves every default to the service."""
    assert dry_run("train")["value"] == {}


def test_topic_name_is_a_setting() -> None:
    """The record goes where the settings say."""
    assert dry_run("train", env={"FORECAST_TOPIC_TRAIN": "x.train"})["topic"] == "x.train"


def test_dry_run_for_people() -> None:
    """Without ``--json`` the record is shown by its parts."""
    result = invoke("send", "train", "--id", "c-1", "--dry-run")
    assert "topic: forecast.train\nkey: c-1\n" in result.stdout
    assert "  ce_id: c-1\n" in result.stdout
    assert result.stdout.endswith("value: {}\n")


def test_products_of_a_file(tmp_path: Path) -> None:
    """One id a line, blank lines and the line ends of other systems left out, after those given as options."""
    tmp_path.joinpath("ids").write_bytes("b\r\n\r\n  ç \n".encode())
    assert dry_run("train", "--produto-id", "a", "--produtos-file", "ids")["value"] == {"produto_ids": ["a", "b", "ç"]}


def test_products_of_stdin() -> None:
    """``-`` reads the ids from a pipe."""
    assert dry_run("train", "--produtos-file", "-", stdin="a\nb\n")["value"] == {"produto_ids": ["a", "b"]}


@pytest.mark.parametrize(("content", "told"), [(b" \n", "is empty"), (b"\xff\n", "UTF-8"), (None, "cannot be read")])
def test_useless_file_of_products_is_refused(tmp_path: Path, content: bytes | None, told: str) -> None:
    """An empty list must not become a command about every product."""
    if content is not None:
        tmp_path.joinpath("ids").write_bytes(content)
    result = invoke("send", "train", "--produtos-file", "ids", "--dry-run")
    assert (result.exit_code, result.stdout) == (ExitCode.USAGE, "")
    assert told in result.stderr


def test_invalid_command_is_refused_before_sending() -> None:
    """What the service would reject is refused here, with a line for each field, and nothing is sent."""
    result = invoke("send", "predict", "--horizonte-semanas", "60", "--modelo", "ARIMA")
    assert (result.exit_code, result.stdout) == (ExitCode.USAGE, "")
    first, second = result.stderr.splitlines()
    assert "modelo" in first
    assert "horizonte_semanas is the integer 60" in second


def test_no_validate_lets_it_pass() -> None:
    """For trying out rejections a bad command can be sent on purpose."""
    assert dry_run("predict", "--horizonte-semanas", "60", "--no-validate")["value"] == {"horizonte_semanas": 60}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", "12:01:30"), ("90s", "12:01:30"), ("15m", "12:15:00"), ("2h", "14:00:00"), ("0.5h", "12:30:00")],
)
def test_deadline_from_now(text: str, expected: str) -> None:
    """Durations are seconds, or have their unit."""
    moment = deadline(text, None, NOW)
    assert moment is not None
    assert f"{moment:%H:%M:%S}" == expected


def test_deadline_in_days() -> None:
    """A deadline may be days away."""
    assert deadline("1d", None, NOW) == NOW.replace(day=24)


@pytest.mark.parametrize(
    ("expires_in", "expires_at"),
    [("soon", None), ("-5", None), ("999999999d", None), (None, "tomorrow"), (None, "2026-11-23T12:00:00"), ("5", "x")],
)
def test_deadline_that_cannot_be_meant(expires_in: str | None, expires_at: str | None) -> None:
    """A deadline without unit of its own, without offset, or given twice is refused as wrong usage."""
    with pytest.raises(CommandError, match="--expires-") as caught:
        deadline(expires_in, expires_at, NOW)
    assert caught.value.exit_code == ExitCode.USAGE
