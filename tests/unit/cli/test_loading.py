from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from consumer.cli.failure import CommandError
from consumer.cli.work import configuration, service
from consumer.cli.work.database_url import check_database_url
from consumer.cli.work.loading import is_secret, load_settings, unknown_names
from consumer.exit_codes import ExitCode
from consumer.setting_rules import variable
from consumer.settings import Settings
from tests.fakes import CapturedLog
from tests.unit.cli.invoking import invoke

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "geheim-4711"
WARNING = "forecast-consumer: warning: "
URL = f"postgresql://user:{SECRET}@db.example:5432/planning"


def lines_of(env: dict[str, str], *arguments: str) -> list[str]:
    result = invoke("run", *arguments, env=env)
    assert result.exit_code == ExitCode.USAGE
    return result.stderr.splitlines()


def test_each_bad_setting_has_its_line() -> None:
    """Every wrong variable is named with its value and what would be right, all in one go."""
    first, second = lines_of({"FORECAST_ADMIN_PORT": "abc", "FORECAST_LOG_FORMAT": "xml"})
    assert "FORECAST_ADMIN_PORT is 'abc'; it must be a valid integer" in first
    assert "FORECAST_LOG_FORMAT is 'xml'; it must be 'json' or 'console'" in second


def test_bad_option_is_named_as_an_option() -> None:
    """What came from the command line is named as it was typed."""
    (line,) = lines_of({}, "--admin-port", "99999")
    assert "--admin-port is 99999; it must be less than or equal to 65535" in line


def test_unknown_role_is_told() -> None:
    """A role that does not exist is refused, and those that do are listed."""
    (line,) = lines_of({"FORECAST_ROLES": "worker,cook"})
    assert "FORECAST_ROLES is 'cook'; it must be 'intake', 'worker' or 'relay'" in line


def test_no_role_is_told() -> None:
    """A service without any role would do nothing and say nothing."""
    (line,) = lines_of({"FORECAST_ROLES": " "})
    assert "FORECAST_ROLES is empty" in line


def test_bad_database_url_shows_no_secret() -> None:
    """A URL that cannot be understood is named without repeating it."""
    (line,) = lines_of({"FORECAST_DATABASE_URL": URL.replace("postgresql", "mysql")})
    assert "FORECAST_DATABASE_URL" in line
    assert SECRET not in line


def test_secret_of_the_wrong_type_is_not_shown() -> None:
    """A secret's value is in no message, whatever is wrong with it."""
    with pytest.raises(CommandError) as caught:
        load_settings(kafka_password=[SECRET])
    assert SECRET not in str(caught.value)
    assert caught.value.lines[0].startswith("--kafka-password is wrong")


def test_unreadable_env_file_is_told(tmp_path: Path) -> None:
    """A ``.env`` that is no text is named rather than shown as a defect."""
    tmp_path.joinpath(".env").write_bytes(b"FORECAST_GROUP_ID=\xff\xfe")
    with pytest.raises(CommandError, match=r"\.env cannot be read"):
        load_settings()


def test_options_precede_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An option wins over the variable; None leaves the variable alone."""
    monkeypatch.setenv("FORECAST_ADMIN_PORT", "9000")
    monkeypatch.setenv("FORECAST_GROUP_ID", "ours")
    settings = load_settings(admin_port=9001, group_id=None)
    assert (settings.admin_port, settings.group_id) == (9001, "ours")


def test_good_database_url_is_given_back() -> None:
    """The URL of the settings comes out as it was given."""
    assert check_database_url(load_settings(database_url=URL)) == URL


def test_config_has_every_setting_and_no_secret() -> None:
    """``config --json`` lists all variables; of secrets it shows only that they are set."""
    env = {"FORECAST_DATABASE_URL": URL, "FORECAST_KAFKA_PASSWORD": SECRET, "FORECAST_ROLES": "intake,relay"}
    result = invoke("config", "--json", env=env)
    rows = {row["variable"]: row["value"] for row in json.loads(result.stdout)}
    assert rows.keys() == {variable(name) for name in Settings.model_fields}
    assert SECRET not in result.output
    assert rows["FORECAST_DATABASE_URL"] == "postgresql://user:***@db.example:5432/planning"
    assert rows["FORECAST_KAFKA_PASSWORD"] == configuration.MASK
    assert rows["FORECAST_ROLES"] == "intake,relay"
    assert rows["FORECAST_KAFKA_USERNAME"] == ""


def test_config_table_shows_no_secret() -> None:
    """The table for people is as discreet."""
    result = invoke("config", env={"FORECAST_KAFKA_PASSWORD": SECRET})
    assert "FORECAST_KAFKA_PASSWORD" in result.stdout
    assert SECRET not in result.output


@pytest.mark.parametrize("arguments", [("config",), ("send", "train", "--dry-run")], ids=" ".join)
def test_misspelt_variable_is_told(arguments: tuple[str, ...]) -> None:
    """A variable that names no setting is pointed out, with the closest; those of tests and debugging are not."""
    env = {"FORECAST_ADMIN_PROT": "1", "FORECAST_DEBUG": "0", "FORECAST_TEST_BROKER": "embedded", "FORECAST_XY": "1"}
    env |= {"FORECAST_FAILPOINT": "x", "FORECAST_FAILPOINT_LOG": "y"}
    assert invoke(*arguments, env=env).stderr.splitlines() == [
        f"{WARNING}FORECAST_ADMIN_PROT is set, but there is no such setting; did you mean FORECAST_ADMIN_PORT?",
        f"{WARNING}FORECAST_XY is set, but there is no such setting",
    ]


def test_misspelt_variable_is_told_beside_what_it_left_wrong() -> None:
    """A setting that is missing because its name was mistyped comes with the name."""
    env = {"FORECAST_KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "FORECAST_KAFKA_PASSWORD": SECRET}
    warning, line = lines_of({**env, "FORECAST_KAFKA_USERNMAE": "u"})
    assert warning.endswith("did you mean FORECAST_KAFKA_USERNAME?")
    assert "FORECAST_KAFKA_USERNAME is empty" in line


def test_misspelt_line_of_the_env_file_is_told(tmp_path: Path) -> None:
    """A line of ``.env`` is looked at like a variable; what is of other programs is left alone."""
    tmp_path.joinpath(".env").write_text("POSTGRES_PORT=5432\nFORECAST_DATABSE_URL=x\nFORECAST_GROUP_ID=ours\n")
    assert unknown_names() == {"FORECAST_DATABSE_URL": "FORECAST_DATABASE_URL"}


def test_service_logs_a_misspelt_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service starts all the same, and its log has a warning."""
    captured = CapturedLog()

    async def run_service(_: Settings) -> ExitCode:
        return ExitCode.OK

    monkeypatch.setattr("consumer.bootstrap.run_service", run_service)
    monkeypatch.setattr(service, "configure", lambda *_: None)
    monkeypatch.setattr(service, "get_logger", lambda _: captured.log)
    assert invoke("run", env={"FORECAST_DATABSE_URL": "x"}).exit_code == ExitCode.OK
    (line,) = captured.entries
    assert (line["event"], line["log_level"]) == ("unknown_setting", "warning")
    assert (line["variable"], line["closest"]) == ("FORECAST_DATABSE_URL", "FORECAST_DATABASE_URL")


def test_env_example_is_the_defaults(tmp_path: Path) -> None:
    """The template, uncommented, is a ``.env`` that changes nothing."""
    text = invoke("config", "--env-example").stdout
    given = [line[2:] for line in text.splitlines() if line.startswith("# FORECAST_")]
    assert {line.split("=")[0] for line in given} == {variable(name) for name in Settings.model_fields}
    tmp_path.joinpath(".env").write_text("\n".join(line for line in given if line != "FORECAST_INSTANCE="))
    made_at_start = {"instance", "compute_processes"}
    assert load_settings().model_dump(exclude=made_at_start) == Settings.model_construct().model_dump(
        exclude=made_at_start
    )


def test_secrets_are_known_as_such() -> None:
    """What is a SecretStr, optional or not, is treated as one."""
    assert {name for name in Settings.model_fields if is_secret(name)} == {"database_url", "kafka_password"}
