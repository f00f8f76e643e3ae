"""The command line inside this process, without its lasting effects on it."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from consumer.cli.app import app
from consumer.cli.work import loading

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from typer.testing import Result


def invoke(*arguments: str, env: Mapping[str, str] | None = None, stdin: str | None = None) -> Result:
    """The result of ``forecast-consumer <arguments>``; what is no expected error is raised."""
    return CliRunner(env=dict(env or {})).invoke(app, list(arguments), input=stdin, catch_exceptions=False)


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> Iterator[None]:
    """No ``.env`` of the checkout, no variable of the developer, and the logging of the tests left as it is."""
    monkeypatch.chdir(str(tmp_path))
    for name in list(os.environ):
        if name.startswith("FORECAST_") and not name.startswith("FORECAST_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(loading, "configure", lambda *_: None)
    level = logging.getLogger("aiokafka").level
    yield
    logging.getLogger("aiokafka").setLevel(level)
