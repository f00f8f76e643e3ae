from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.brokers import BrokerError, choose_broker

GIVEN = {"FORECAST_TEST_BOOTSTRAP_SERVERS": "kafka.example:9092"}


@pytest.mark.parametrize(
    ("environment", "docker", "maven", "kind"),
    [
        (GIVEN, None, None, "given"),
        ({}, None, None, "docker"),
        ({}, "no engine", None, "maven"),
        ({}, "no engine", "no Java", "embedded"),
        ({"CI": "true"}, "no engine", None, "maven"),
        ({"FORECAST_TEST_BROKER": "embedded"}, None, None, "embedded"),
        ({"FORECAST_TEST_BROKER": "maven"}, None, None, "maven"),
    ],
)
def test_first_broker_that_can_be_had_is_chosen(
    environment: dict[str, str], docker: str | None, maven: str | None, kind: str
) -> None:
    """The given broker, else Docker, else Maven, else the embedded one; one named by hand comes first."""
    choice = choose_broker(environment, docker_missing=lambda: docker, maven_missing=lambda: maven)
    assert choice.kind == kind


def test_header_says_what_was_passed_over() -> None:
    """A run on the embedded broker says why it has no better one."""
    choice = choose_broker({}, docker_missing=lambda: "no engine", maven_missing=lambda: "no Java")
    assert choice.header.startswith("broker: the embedded mock broker")
    assert "no engine; no Java" in choice.header


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"CI": "true"}, "CI=true needs a full Kafka broker.*no engine; no Java.*FORECAST_TEST_BOOTSTRAP_SERVERS"),
        ({"FORECAST_TEST_BROKER": "maven"}, "FORECAST_TEST_BROKER=maven cannot be had: no Java"),
        ({"FORECAST_TEST_BROKER": "rabbit"}, "'rabbit'; it may be docker, maven or embedded"),
    ],
)
def test_what_cannot_be_had_is_refused(environment: dict[str, str], message: str) -> None:
    """A broker that is not good enough, missing or unknown is refused with what would help."""
    with pytest.raises(BrokerError, match=message):
        choose_broker(environment, docker_missing=lambda: "no engine", maven_missing=lambda: "no Java")


def test_run_in_ci_stops_without_a_full_broker() -> None:
    """With CI=true a run that has only the embedded broker fails before it collects a test."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FORECAST_TEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/unit/demo", "-p", "no:cacheprovider"],
        env={**environment, "CI": "true", "FORECAST_TEST_BROKER": "embedded"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 4
    assert "CI=true needs a full Kafka broker" in done.stderr + done.stdout
    assert "collected" not in done.stdout
