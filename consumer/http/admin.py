"""The admin port: ``/livez``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final, Protocol

import uvicorn
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from consumer.errors import StartupError
from consumer.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from starlette.requests import Request

    from consumer.telemetry.metrics import Metrics

STOP_SECONDS: Final = 2.0


class Health(Protocol):
    """What the admin port asks the service."""

    def alive(self) -> Mapping[str, str]:
        """What is wrong so that a restart would help; empty when nothing is."""
        ...

    def ready(self) -> Mapping[str, str]:
        """What stands between the service and its work; empty when nothing does."""
        ...


def bind(host: str, port: int) -> socket.socket:
    """Take the port before anything else is started.

    Raises:
        StartupError: Somebody else has it, or the address is not ours.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # until somebody listens, the kernel lets a second process bind the port as well
    except (OSError, UnicodeError) as error:  # a name with a part that is too long is no OSError
        listener.close()
        raise StartupError(_cannot_bind(host, port, error), ExitCode.ADMIN_PORT) from error
    return listener


def _cannot_bind(host: str, port: int, error: OSError | UnicodeError) -> str:
    why = getattr(error, "strerror", None) or str(error)
    if isinstance(error, (socket.gaierror, UnicodeError)) or error.errno == errno.EADDRNOTAVAIL:
        return f"admin host {host!r} cannot be used: {why}; set FORECAST_ADMIN_HOST to an address of this machine"
    return f"admin port {host}:{port} cannot be used: {why}; set FORECAST_ADMIN_PORT to a free one"


def application(health: Health, metrics: Metrics) -> Starlette:
    """The three routes."""

    async def livez(_: Request) -> Response:
        return _verdict(health.alive())

    async def readyz(_: Request) -> Response:
        return _verdict(health.ready())

    async def exposition(_: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", exposition)])


@asynccontextmanager
async def serve(listener: socket.socket, app: Starlette) -> AsyncIterator[None]:
    """Answer on the listener, which is closed at the end, while the body runs."""
    server = _Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none"))
    task = asyncio.create_task(server.serve(sockets=[listener]), name="admin port")
    try:
        yield
    finally:
        server.should_exit = True
        _, unfinished = await asyncio.wait({task}, timeout=STOP_SECONDS)
        for late in unfinished:
            late.cancel()
        listener.close()


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave SIGTERM and SIGINT to the service."""
        yield


def _verdict(problems: Mapping[str, str]) -> JSONResponse:
    status = "ok" if not problems else "failing"
    return JSONResponse({"status": status, "problems": dict(problems)}, status_code=503 if problems else 200)
