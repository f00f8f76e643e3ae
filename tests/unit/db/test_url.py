from __future__ import annotations

import pytest

from consumer.db.url import IGNORED, parse_database_url, safe_url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:pa%40ss@db:5433/plan",
        "postgres://user:pa%40ss@db:5433/plan",
        "postgresql+asyncpg://user:pa%40ss@db:5433/plan",
        ' "postgresql://user:pa%40ss@db:5433/plan"\n',
        "postgresql://db:5433?user=user&password=pa%40ss&dbname=plan",
    ],
)
def test_ways_to_write_a_url_mean_the_same(url: str) -> None:
    """Scheme, quotes from a .env file and libpq's parameters are spellings of one address."""
    parsed = parse_database_url(url).url
    assert (parsed.drivername, parsed.username, parsed.password) == ("postgresql+asyncpg", "user", "pa@ss")
    assert (parsed.host, parsed.port, parsed.database, dict(parsed.query)) == ("db", 5433, "plan", {})


@pytest.mark.parametrize(
    ("url", "query"),
    [
        ("postgresql://me@/plan?host=/run/pg&port=5433", {"host": "/run/pg", "port": "5433"}),
        ("postgresql://me:@/plan?host=/run/pg", {"host": "/run/pg"}),
    ],
)
def test_unix_socket_is_kept(url: str, query: dict[str, str]) -> None:
    """A socket's directory and port reach the driver."""
    parsed = parse_database_url(url).url
    assert (parsed.host, dict(parsed.query), parsed.database) == (None, query, "plan")


def test_prisma_url_is_honoured_where_it_means_us() -> None:
    """Schema becomes the search path, encryption goes to the driver, what tunes Prisma's pool is left out."""
    target = parse_database_url(
        "postgresql://u:p@db/plan?schema=my%22app&connection_limit=5&pool_timeout=2&sslmode=require&pgbouncer=true"
    )
    assert target.server_settings == {"search_path": '"my""app"'}
    assert target.connect_arguments == {"dsn": "postgresql://?sslmode=require"}
    assert target.pgbouncer
    assert dict(target.url.query) == {}


def test_other_parameters_of_libpq_are_honoured() -> None:
    """Certificates, session options and the wish for a primary are passed on."""
    target = parse_database_url(
        "postgresql://db/plan?sslmode=verify-full&sslrootcert=/ca.pem&options=-c%20work_mem%3D8MB"
        "&target_session_attrs=read-write"
    )
    assert target.connect_arguments == {
        "dsn": "postgresql://?sslmode=verify-full&sslrootcert=%2Fca.pem",
        "target_session_attrs": "read-write",
    }
    assert target.server_settings == {"options": "-c work_mem=8MB"}


@pytest.mark.parametrize("name", sorted(IGNORED))
def test_foreign_tuning_is_ignored(name: str) -> None:
    """Parameters by which other clients tune themselves change nothing."""
    assert parse_database_url(f"postgresql://db/plan?{name}=1") == parse_database_url("postgresql://db/plan")


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("", "is empty; expected postgresql://"),
        ("   ", "is empty"),
        ("mysql://u:secret@db/plan", "has the scheme mysql; expected postgresql://"),
        ("postgresql+psycopg://u:secret@db/plan", "has the scheme postgresql.psycopg"),
        ("db.example/secret", "cannot be read"),
        ("postgresql://u:secret@db:port/plan", "cannot be read"),
        ("postgresql://u:secret@db/plan?sslmod=require", "parameter sslmod is not known"),
        ("postgresql://u:secret@/plan?host=/run&port=x", "port is no number"),
    ],
)
def test_bad_url_is_refused_without_repeating_it(url: str, complaint: str) -> None:
    """The message says what is wrong and what would be right, and holds no secret."""
    with pytest.raises(ValueError, match=complaint) as refusal:
        parse_database_url(url)
    assert "secret" not in str(refusal.value)
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    ["postgresql://u:secret@db/plan", "postgresql://u@db/plan?password=secret&sslpassword=secret", "secret nonsense"],
)
def test_safe_url_has_no_secret(url: str) -> None:
    """Wherever the password stands, it is not in what is logged."""
    assert "secret" not in safe_url(url)


def test_safe_url_still_tells_the_database() -> None:
    """User, host and database are needed to find a mistake."""
    assert safe_url("postgresql://u:secret@db:5432/plan") == "postgresql://u:***@db:5432/plan"
