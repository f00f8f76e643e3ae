from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from consumer.demo import postgres_binaries
from consumer.demo.embedded_postgres import EmbeddedPostgres
from consumer.demo.processes import ServerError
from consumer.demo.sample_data import load_sample

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(settings={"work_mem": "7MB"}) as running:
        yield running


async def ask(server: EmbeddedPostgres, sql: str) -> object:
    connection = await asyncpg.connect(server.url(), timeout=10)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_settings_reach_the_server(server: EmbeddedPostgres) -> None:
    """Durable by default, on loopback only, with the settings asked for."""
    assert await ask(server, "SHOW fsync") == "on"
    assert await ask(server, "SHOW listen_addresses") == "127.0.0.1"
    assert await ask(server, "SHOW work_mem") == "7MB"
    assert await ask(server, "SHOW server_encoding") == "UTF8"


@pytest.mark.parametrize("how", ["restart", "kill", "pause"])
async def test_committed_rows_survive(server: EmbeddedPostgres, how: str) -> None:
    """A committed row is there after a restart, a kill -9 and a freeze, at the same address."""
    await ask(server, f"CREATE TABLE kept_{how} AS SELECT 7 AS value")
    if how == "restart":
        server.restart()
    elif how == "kill":
        server.kill()
        server.start()
    else:
        server.pause()
        with pytest.raises(TimeoutError):
            await asyncpg.connect(server.url(), timeout=0.3)
        server.resume()
    assert await ask(server, f"SELECT value FROM kept_{how}") == 7


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every system user may enter, as pytest's own are not."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(stat.S_IRWXU | stat.S_IXOTH)
        yield Path(directory)


async def test_directory_is_kept_and_used_again(open_directory: Path) -> None:
    """A server on a given directory leaves its data there, and the next one finds them."""
    with EmbeddedPostgres(open_directory / "database", durable=False) as first:
        await ask(first, "CREATE TABLE kept AS SELECT 1 AS value")
    with EmbeddedPostgres(open_directory / "database", durable=False) as second:
        assert await ask(second, "SELECT value FROM kept") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands PostgreSQL to another user")
def test_unreachable_binaries_are_copied(open_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system user cannot reach the installed binaries, it runs a copy in the server's directory."""
    monkeypatch.setattr(postgres_binaries, "_unreachable", lambda directory, _: directory)
    user = postgres_binaries.system_user()
    binaries = postgres_binaries.binaries_for(user, open_directory)
    assert open_directory in binaries.parents
    command = [str(binaries / "postgres"), "--version"]
    told = subprocess.run(
        command, user=user.uid, group=user.gid, extra_groups=[], capture_output=True, timeout=20, check=True
    )
    assert b"PostgreSQL" in told.stdout


def test_temporary_directory_is_removed() -> None:
    """Nothing is left of a server without a directory of its own."""
    with EmbeddedPostgres(durable=False) as server:
        assert server.log.exists()
    assert not server.directory.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands PostgreSQL to another user")
def test_unreachable_directory_is_named_and_left_alone() -> None:
    """Where the system user cannot enter, the message names that directory; its permissions stay as they are."""
    with tempfile.TemporaryDirectory() as parent:
        with pytest.raises(ServerError, match=f"cannot enter {parent}.*chmod o\\+x"):
            EmbeddedPostgres(Path(parent, "database")).start()
        assert stat.S_IMODE(Path(parent).stat().st_mode) == 0o700


async def test_sample_is_loaded_once(initialised_database_url: str) -> None:
    """The tables hold what the summary says, and a second load adds nothing."""
    connection = await asyncpg.connect(initialised_database_url)
    try:
        first = await load_sample(connection, products=60)
        assert await load_sample(connection, products=60) == first
        counts = {
            table: await connection.fetchval(f"SELECT count(*) FROM {table}")
            for table in ("produto", "usuario", "serie_temporal", "sku_classification")
        }
        assert await connection.fetchval("SELECT id FROM usuario") == first.user_id
        days = await connection.fetchval("SELECT count(*) FROM serie_temporal WHERE granularidade = 'diario'")
    finally:
        await connection.close()
    assert counts == {
        "produto": len(first.product_ids),
        "usuario": 1,
        "serie_temporal": first.weekly_rows + first.daily_rows,
        "sku_classification": sum(first.by_class.values()),
    }
    assert (days, first.daily_products, first.unclassified_products) == (first.daily_rows, 2, 3)
