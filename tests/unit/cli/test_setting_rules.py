from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from consumer.cli.work.loading import load_settings
from consumer.exit_codes import ExitCode
from consumer.setting_rules import MAY_BE_EMPTY, TOPICS, variable
from consumer.settings import Settings
from tests.unit.cli.invoking import invoke

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "geheim-4711"
SASL = {"FORECAST_KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}


def lines_of(env: dict[str, str]) -> list[str]:
    result = invoke("run", env=env)
    assert result.exit_code == ExitCode.USAGE
    return [line.removeprefix("forecast-consumer: ") for line in result.stderr.splitlines()]


def test_topics_of_one_name_are_told() -> None:
    """A topic that is read and written would answer itself for ever, so no two may be the same."""
    assert lines_of({"FORECAST_TOPIC_STATUS": "forecast.cancel"}) == [
        "FORECAST_TOPIC_STATUS and FORECAST_TOPIC_CANCEL are both 'forecast.cancel'; each of the seven must be its own"
    ]


def test_every_topic_is_compared() -> None:
    """The seven that must differ are all the topics that there are, and each pair has its line."""
    assert set(TOPICS) == {name for name in Settings.model_fields if name.startswith("topic_")}
    assert len(lines_of({variable(name): "same" for name in TOPICS})) == len(TOPICS) - 1


@pytest.mark.parametrize("value", ["", "nonsense", "127.0.0.1:abc", "a:0", "a:65536", "a:1,", ":9092", "::1:9092:x"])
def test_servers_without_host_and_port_are_told(value: str) -> None:
    """An address that Kafka's client would stumble over is named with what it must be."""
    assert lines_of({"FORECAST_BOOTSTRAP_SERVERS": value}) == [
        f"FORECAST_BOOTSTRAP_SERVERS is {value!r}; it must be host:port[,host:port], each port from 1 to 65535"
    ]


def test_password_among_the_servers_is_not_shown() -> None:
    """Who writes a URL where a host belongs does not find the password of it in a log."""
    (line,) = lines_of({"FORECAST_BOOTSTRAP_SERVERS": f"user:{SECRET}@kafka:9092"})
    assert line.startswith("FORECAST_BOOTSTRAP_SERVERS is wrong; it must be host:port")


@pytest.mark.parametrize("value", ["kafka:9092", "a_b.example:1, 10.0.0.1:65535", "[::1]:9092,[fe80::1]:9093"])
def test_servers_are_taken_as_they_are(value: str) -> None:
    """Names, addresses of both kinds, and blanks behind a comma are good."""
    assert load_settings(bootstrap_servers=value).bootstrap_servers == value


def test_pattern_that_is_none_is_told() -> None:
    """A regular expression that cannot be read is named with the place where it breaks."""
    (line,) = lines_of({"FORECAST_REPLY_TOPIC_PATTERN": "("})
    assert line.startswith("FORECAST_REPLY_TOPIC_PATTERN is '('; it must be a regular expression: missing )")


def test_missing_credentials_are_told() -> None:
    """A protocol with a log-in needs user and password; each that lacks has its line."""
    user, password = lines_of(SASL)
    assert user == "FORECAST_KAFKA_USERNAME is empty; with FORECAST_KAFKA_SECURITY_PROTOCOL=SASL_SSL it must be set"
    assert password.startswith("FORECAST_KAFKA_PASSWORD is empty;")
    (line,) = lines_of({**SASL, "FORECAST_KAFKA_PASSWORD": SECRET, "FORECAST_KAFKA_USERNAME": ""})
    assert (line, SECRET in line) == (user, False)


def test_certificates_that_are_none_are_told(tmp_path: Path) -> None:
    """A file of certificates that is not there, or holds none, is named before a broker is asked."""
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for file, why in ((tmp_path / "nope.pem", "cannot be read (No such file"), (empty, "holds no certificate")):
        env = {"FORECAST_KAFKA_SECURITY_PROTOCOL": "SSL", "FORECAST_KAFKA_SSL_CAFILE": str(file)}
        (line,) = lines_of(env)
        assert line.startswith(f"FORECAST_KAFKA_SSL_CAFILE is '{file}', which {why}")


def test_certificates_that_are_not_used_are_not_read() -> None:
    """Without encryption nobody looks at the file."""
    assert load_settings(kafka_ssl_cafile="/nope.pem").kafka_security_protocol == "PLAINTEXT"


@pytest.mark.parametrize("name", sorted(MAY_BE_EMPTY))
def test_empty_optional_setting_is_the_default(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is declared and left empty is as if it were not there."""
    default = getattr(load_settings(), name)
    monkeypatch.setenv(variable(name), "")
    assert getattr(load_settings(), name) == default


@pytest.mark.parametrize("name", ["instance", "group_id", *TOPICS])
def test_empty_name_is_told(name: str) -> None:
    """What names a process, a group or a topic cannot be empty."""
    assert lines_of({variable(name): ""}) == [f"{variable(name)} is ''; it must not be empty"]


def test_empty_database_url_is_told() -> None:
    """An empty database URL is a mistake, never the default."""
    (line,) = lines_of({"FORECAST_DATABASE_URL": ""})
    assert line.startswith("FORECAST_DATABASE_URL: database URL is empty")


def test_demo_checks_its_kafka_first() -> None:
    """The demo's option is named as it was typed, before anything is started."""
    result = invoke("demo", "--bootstrap-servers", "nonsense")
    assert result.exit_code == ExitCode.USAGE
    assert "--bootstrap-servers is 'nonsense'; it must be host:port" in result.stderr
