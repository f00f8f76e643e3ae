from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from consumer.demo.embedded_postgres import EmbeddedPostgres
from consumer.demo.processes import free_port
from consumer.exit_codes import ExitCode
from tests.e2e.commands import binary, produce
from tests.e2e.new_topics import create_visible
from tests.e2e.rows import connected, scalar
from tests.support.databases import with_database
from tests.support.evidence import committed_offsets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import MakeService
    from tests.support.topics import Topics

pytestmark = [pytest.mark.broker, pytest.mark.full_broker]

SECRET = "hunter2-secret"
WITHOUT_PARCIAL = """ALTER TYPE "StatusExecucao" RENAME VALUE 'PARCIAL' TO 'METADE'"""


@dataclass(frozen=True, slots=True)
class Start:
    """A start that must fail: what is broken, and what the only line must hold."""

    name: str
    code: ExitCode
    says: tuple[str, ...]
    settings: dict[str, object] = field(default_factory=dict)
    sql: str = ""


STARTS = (
    Start(
        "missing table", ExitCode.SCHEMA, ("differs", "forecast_metrica", "missing"), sql="DROP TABLE forecast_metrica"
    ),
    Start(
        "several differences",
        ExitCode.SCHEMA,
        ("differs from the mapping in 3 places", "preco_venda", "label PARCIAL", "serie_temporal"),
        sql=f"ALTER TABLE produto DROP preco_venda; DROP TABLE serie_temporal; {WITHOUT_PARCIAL}",
    ),
    Start(
        "no own schema",
        ExitCode.SCHEMA,
        ("forecast_consumer", "revision none", "forecast-consumer db migrate"),
        sql="DROP SCHEMA forecast_consumer CASCADE",
    ),
    Start(
        "bad setting",
        ExitCode.USAGE,
        ("FORECAST_INTAKE_BATCH", "greater than 0"),
        {"intake_batch": 0},
    ),
)


@pytest.mark.parametrize("start", STARTS, ids=lambda start: start.name)
async def test_start_fails_with_one_clear_line(
    topics: Topics, initialised_database_url: str, make_service: MakeService, start: Start
) -> None:
    """What is wrong is named in one message, with the right exit code, and nothing is left half-started."""
    await create_visible(topics)
    await produce(topics, [binary("predict", {})])
    if start.sql:
        async with connected(initialised_database_url) as connection:
            await connection.execute(start.sql)
    port = free_port()
    message = await failed_start(make_service, initialised_database_url, start.code, admin_port=port, **start.settings)
    for part in start.says:
        assert part in message
    assert await committed_offsets(topics) == {}
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))
    if not start.sql:
        assert await scalar(initialised_database_url, "SELECT count(*) FROM forecast_consumer.command") == 0


async def test_nothing_listening(make_service: MakeService) -> None:
    """A database that is not there is named without the password of its URL."""
    url = f"postgresql://planner:{SECRET}@127.0.0.1:{free_port()}/planning"
    message = await failed_start(make_service, url, ExitCode.DATABASE)
    assert "nothing listens there" in message


async def test_unknown_database(postgres_url: str, make_service: MakeService) -> None:
    """A typo in the database's name is told at once, however patient the start is."""
    url = with_database(postgres_url, "planing")
    message = await failed_start(make_service, url, ExitCode.DATABASE, startup_wait_seconds=60)
    assert "does not exist" in message


async def test_wrong_password(password_server: str, make_service: MakeService) -> None:
    """A refused password is told at once, without the password."""
    url = password_server.replace("postgres@", f"postgres:{SECRET}@")
    message = await failed_start(make_service, url, ExitCode.DATABASE, startup_wait_seconds=60)
    assert "password" in message


async def test_url_that_is_none(make_service: MakeService) -> None:
    """What is no database URL at all is said in one line, too."""
    message = await failed_start(make_service, f"mysql://planner:{SECRET}@127.0.0.1/planning", ExitCode.USAGE)
    assert "FORECAST_DATABASE_URL" in message
    assert "postgresql://user:password@host:5432/database" in message


async def test_absent_broker(initialised_database_url: str, make_service: MakeService) -> None:
    """A broker that is not there is named."""
    port = free_port()
    message = await failed_start(
        make_service, initialised_database_url, ExitCode.BROKER, bootstrap_servers=f"127.0.0.1:{port}"
    )
    assert f"no broker answers at 127.0.0.1:{port}" in message


async def test_missing_topics(topics: Topics, initialised_database_url: str, make_service: MakeService) -> None:
    """Missing topics are all named, with the command that creates them."""
    message = await failed_start(make_service, initialised_database_url, ExitCode.BROKER)
    assert all(name in message for name in topics.all)
    assert "forecast-consumer topics create" in message


async def test_busy_admin_port(initialised_database_url: str, make_service: MakeService) -> None:
    """A port that somebody else has is named, and the other one keeps it."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        message = await failed_start(make_service, initialised_database_url, ExitCode.ADMIN_PORT, admin_port=port)
    assert f"127.0.0.1:{port}" in message
    assert "FORECAST_ADMIN_PORT" in message


async def test_sigterm_while_waiting_for_the_broker(initialised_database_url: str, make_service: MakeService) -> None:
    """A service that waits for its broker says so, is alive but not ready, and leaves at once when asked to."""
    address = f"127.0.0.1:{free_port()}"
    service = make_service(initialised_database_url, bootstrap_servers=address, startup_wait_seconds=120)
    service.start()
    assert address in (await service.logged("waiting_at_start"))["error"]
    assert (await service.get("/livez")).status_code == 200
    assert (await service.get("/readyz")).status_code == 503
    assert await service.stop(within=5) == ExitCode.OK


async def failed_start(make_service: MakeService, url: str, code: ExitCode, **settings: Any) -> str:
    """The message of a start that fails with the given code: all that stands on stderr but the log's lines."""
    service = make_service(url, **settings)
    service.start()
    assert await service.exit_code(within=30) == code, service.log
    assert "Traceback" not in service.log
    assert SECRET not in service.log
    assert "Unclosed" not in service.log
    said = [line for line in service.lines if not line.startswith("{")]
    assert said, service.log
    assert said[0].startswith("forecast-consumer: "), service.log
    # One line, but for the table of what differs from the mapping, which is indented.
    assert all(line.startswith("  ") for line in said[1:]), service.log
    return "\n".join(said)


@pytest.fixture
def password_server() -> Iterator[str]:
    """URL of a PostgreSQL that asks everybody for a password, and has none that is right."""
    # Below the system's own temporary directory, because PostgreSQL runs as another user when we are root.
    directory = Path(tempfile.mkdtemp(prefix="forecast-hba-"))
    directory.chmod(0o755)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        rules = directory / "pg_hba.conf"
        rules.write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        server = stack.enter_context(EmbeddedPostgres(durable=False, settings={"hba_file": str(rules)}))
        yield server.url()
