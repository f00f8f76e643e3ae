"""Database URLs as people paste them, turned into what SQLAlchemy and asyncpg understand.

Accepted are ``postgresql://``, ``postgres://`` and ``postgresql+asyncpg://``, with a host, or with a Unix
socket's directory in ``?host=/dir``. Of the parameters behind the question mark

- honoured are ``host``, ``port``, ``user``, ``password``, ``dbname``, ``sslmode`` and libpq's other ``ssl…``
  names, ``target_session_attrs``, ``options``, and of Prisma's own ``schema`` (becomes the search path) and
  ``pgbouncer`` (statements are not cached, no start-up parameter that PgBouncer refuses is sent);
- ignored are those by which a client tunes itself, as the service has settings for them (``IGNORED``);
- anything else is refused, as a typo must not silently connect to somewhere else or without encryption.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

SCHEMES: Final = frozenset({"postgresql", "postgres", "postgresql+asyncpg"})
IGNORED: Final = frozenset(
    {
        "application_name",
        "connect_timeout",
        "connection_limit",
        "connection_timeout",
        "max_connection_lifetime",
        "max_idle_connection_lifetime",
        "pool_timeout",
        "prepared_statement_cache_size",
        "single_use_connections",
        "socket_timeout",
        "sslaccept",
        "sslidentity",
        "statement_cache_size",
        "trace",
    }
)
_SSL: Final = frozenset(
    {
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslmode",
        "sslnegotiation",
        "sslpassword",
        "sslrootcert",
    }
)
_SECRET: Final = frozenset({"password", "sslpassword"})
_EXPECTED: Final = "expected postgresql://user:password@host:5432/database"


@dataclass(frozen=True, slots=True)
class DatabaseTarget:
    """Where to connect and how.

    Attributes:
        url: For SQLAlchemy's asyncpg dialect, without any parameter of its own but ``host`` and ``port``.
        connect_arguments: For ``asyncpg.connect``, beside what ``url`` says.
        server_settings: PostgreSQL's session parameters that the URL asked for.
        pgbouncer: Whether a transaction pooler stands in between.
    """

    url: URL
    connect_arguments: dict[str, Any] = field(default_factory=dict)
    server_settings: dict[str, str] = field(default_factory=dict)
    pgbouncer: bool = False


def parse_database_url(url: str) -> DatabaseTarget:
    """Read a database URL.

    Raises:
        ValueError: The URL is none, is not PostgreSQL's, or has a parameter that is not known; the message
            repeats no part of it but a scheme or a parameter's name.
    """
    parsed = _read(url)
    query = {name: value if isinstance(value, str) else value[-1] for name, value in parsed.query.items()}
    for name in IGNORED:
        query.pop(name, None)
    target = DatabaseTarget(
        url=_address(parsed, query),
        pgbouncer=query.pop("pgbouncer", "false").lower() == "true",
        connect_arguments=_connect_arguments(query),
        server_settings=_server_settings(query),
    )
    if query:
        names = ", ".join(sorted(query))
        raise ValueError(f"database URL: parameter {names} is not known; remove it or correct its name")
    return target


def safe_url(url: str) -> str:
    """The URL with every secret replaced, fit for logs and errors."""
    try:
        parsed = _read(url)
    except ValueError:
        return "<unreadable database URL>"
    return parsed.difference_update_query(_SECRET).render_as_string(hide_password=True)


def _read(url: str) -> URL:
    # Values pasted from a .env file keep their quotes.
    stripped = url.strip().strip("\"'")
    if not stripped:
        raise ValueError(f"database URL is empty; {_EXPECTED}")
    try:
        parsed = make_url(stripped)
    except (ArgumentError, ValueError):
        raise ValueError(
            f"database URL cannot be read; {_EXPECTED}, special characters of the password percent-encoded"
        ) from None
    if parsed.drivername not in SCHEMES:
        raise ValueError(f"database URL has the scheme {parsed.drivername}; {_EXPECTED}")
    return parsed


def _address(parsed: URL, query: dict[str, str]) -> URL:
    address = URL.create(
        "postgresql+asyncpg",
        username=query.pop("user", parsed.username),
        password=query.pop("password", parsed.password),
        host=parsed.host,
        port=parsed.port,
        database=query.pop("dbname", parsed.database),
    )
    hosts = parsed.query.get("host")
    query.pop("host", None)
    port = query.pop("port", None)
    if port is not None and not port.isdecimal():
        raise ValueError("database URL: parameter port is no number")
    if hosts is None:
        return address.set(port=int(port)) if port else address
    extra = {"host": hosts, **({"port": port} if port else {})}
    return address.update_query_dict(extra)


def _connect_arguments(query: dict[str, str]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    encryption = {name: query.pop(name) for name in sorted(_SSL & query.keys())}
    if encryption:
        # asyncpg reads libpq's file parameters from a DSN only; everything else still comes from the URL.
        arguments["dsn"] = "postgresql://?" + urlencode(encryption)
    if "target_session_attrs" in query:
        arguments["target_session_attrs"] = query.pop("target_session_attrs")
    return arguments


def _server_settings(query: dict[str, str]) -> dict[str, str]:
    settings: dict[str, str] = {}
    if "schema" in query:
        settings["search_path"] = '"' + query.pop("schema").replace('"', '""') + '"'
    if "options" in query:
        settings["options"] = query.pop("options")
    return settings
