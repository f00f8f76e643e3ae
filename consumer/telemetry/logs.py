"""Logging with structlog: one JSON object a line, or colours for people."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Any, Literal, cast

import structlog

from consumer.telemetry.repeats import RepeatFilter

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


def configure(log_format: Literal["json", "console"], level: str) -> None:
    """Send our lines and those of the libraries to stderr, in one form."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info if log_format == "json" else _leave,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.addFilter(RepeatFilter(time.monotonic))
    # Libraries speak up from warnings on: aiokafka alone would fill the log with reconnects.
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def get_logger(component: str) -> FilteringBoundLogger:
    """A logger whose lines carry the component's name."""
    return cast("FilteringBoundLogger", structlog.get_logger(component=component))


def _leave(_: Any, __: str, event: Any) -> Any:
    return event
