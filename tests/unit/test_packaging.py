from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from consumer.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = "init"
COMPOSE_ONLY = {"POSTGRES_PASSWORD", "POSTGRES_PORT", "KAFKA_PORT"}
EXAMPLE = (ROOT / ".env.example").read_text()


def example_names() -> set[str]:
    return set(re.findall(r"^(?:# )?([A-Z][A-Z_]+)=", EXAMPLE, re.MULTILINE))


def pinned(lock: str) -> dict[str, set[str]]:
    pins: dict[str, set[str]] = {}
    for name, version in re.findall(
        r"^([a-z0-9.\-]+)==([^ ;]+)", (ROOT / "requirements" / lock).read_text(), re.MULTILINE
    ):
        pins.setdefault(name, set()).add(version)
    return pins


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {ONE_SHOT}))
def test_long_running_services_are_checked_and_restarted(name: str) -> None:
    """Whatever stays up has a health check with a bound, and comes back after a crash."""
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries"} <= set(check)
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_service_waits_for_healthy_servers_and_a_finished_set_up() -> None:
    """The service starts on a healthy Kafka and PostgreSQL, after the one-shot set-up succeeded."""
    conditions = {name: need["condition"] for name, need in SERVICES["service"]["depends_on"].items()}
    assert conditions == {
        "kafka": "service_healthy",
        "postgres": "service_healthy",
        ONE_SHOT: "service_completed_successfully",
    }
    assert SERVICES[ONE_SHOT]["restart"] == "no"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_ports_are_published_on_loopback_only(name: str) -> None:
    """No port of the throw-away servers can be reached from another machine."""
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", ["kafka", "postgres"])
def test_data_are_on_named_volumes_of_pinned_images(name: str) -> None:
    """Data survive a new container, and the image says which version it is."""
    volumes = [mount.partition(":")[0] for mount in SERVICES[name]["volumes"]]
    assert volumes
    assert set(volumes) <= set(COMPOSE["volumes"])
    assert re.search(r":\d", SERVICES[name]["image"])


def test_kafka_cluster_id_is_one() -> None:
    """Kafka takes 16 bytes in URL-safe base64 without padding."""
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", SERVICES["kafka"]["environment"]["CLUSTER_ID"])


def test_compose_sets_only_settings_that_exist() -> None:
    """A misspelt variable would silently leave its default in force."""
    named = {name for name in SERVICES["service"]["environment"] if name.startswith("FORECAST_")}
    assert named <= {f"FORECAST_{field.upper()}" for field in Settings.model_fields}


def test_example_names_every_setting_and_no_other() -> None:
    """`.env.example` is the list of settings."""
    assert example_names() - COMPOSE_ONLY == {f"FORECAST_{field.upper()}" for field in Settings.model_fields}


def test_example_shows_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is commented out has the value that holds without it."""
    for name in example_names():
        monkeypatch.delenv(name, raising=False)
    # An empty name would be refused: no file can tell the default, which differs between processes.
    shown = re.sub(r"^# (FORECAST_(?!INSTANCE=)[A-Z_]+=.*)$", r"\1", EXAMPLE, flags=re.MULTILINE)
    written = tmp_path / ".env"
    written.write_text(shown)
    # The name of this process, and the URL, which fits docker-compose's database.
    left_out = {"instance", "database_url"}
    assert Settings(_env_file=written).model_dump(exclude=left_out) == Settings(_env_file=None).model_dump(
        exclude=left_out
    )


def test_runtime_lock_is_a_part_of_the_development_lock() -> None:
    """The image runs the very versions that the tests ran."""
    development = pinned("dev.txt")
    runtime = pinned("run.txt")
    assert {"aiokafka", "asyncpg", "pydantic", "statsforecast"} <= set(runtime)
    assert {name for name, versions in runtime.items() if not versions <= development.get(name, set())} == set()


@pytest.mark.parametrize("lock", ["dev.txt", "run.txt"])
def test_locks_have_hashes_and_name_no_registry(lock: str) -> None:
    """Every pin has a hash, and a lock can be installed from any registry."""
    text = (ROOT / "requirements" / lock).read_text()
    assert "://" not in text
    assert "index-url" not in text
    for entry in re.split(r"\n(?=[a-z0-9])", text.strip()):
        assert "--hash=sha256:" in entry, entry.splitlines()[0]


def test_image_runs_unprivileged_and_gets_signals_itself() -> None:
    """The last stage names a user that is not root and starts the service without a shell."""
    last_stage = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert re.search(r"^USER [1-9]\d+$", last_stage, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["forecast-consumer"\]$', last_stage, re.MULTILINE)
    assert "/livez" in last_stage
