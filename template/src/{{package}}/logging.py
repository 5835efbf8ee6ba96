"""Structured logs: one JSON object a line, or pretty on a terminal."""

import json
import logging
import sys
from contextvars import ContextVar
from pathlib import Path

import structlog
from pydantic_core import to_json
from structlog.typing import EventDict, Processor, WrappedLogger

from .settings import Settings

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def is_pretty(settings: Settings) -> bool:
    """Whether people read the logs, rather than programs."""
    return settings.log_format == "pretty" or (
        settings.log_format == "auto" and sys.stdout.isatty()
    )


def configure(settings: Settings) -> None:
    """Send structlog's and the standard library's records to stdout in one format."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.ExtraAdder(),
        _add_request_id,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Plain tracebacks: those that show local variables would log secrets.
    rendering: list[Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if is_pretty(settings)
        else [structlog.processors.format_exc_info, render_json]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper())
    logging.captureWarnings(True)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    # The middleware writes the line of each request, with more in it, and nothing of the client's.
    logging.getLogger("uvicorn.access").disabled = True
    logging.getLogger("uvicorn.error").addFilter(_is_no_line_of_websockets)


def _is_no_line_of_websockets(record: logging.LogRecord) -> bool:
    return bool(record.exc_info) or Path(record.pathname).parent.name != "websockets"


def configured() -> logging.Handler:
    """What logging.json has each process of the server call first; raises InvalidSettings."""
    configure(Settings.load())
    return logging.getLogger().handlers[0]


def _add_request_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event.pop("color_message", None)  # uvicorn's second wording, for terminals
    if (current := request_id.get()) is not None:
        event["request_id"] = current
    return event


def render_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """A line of JSON, whatever `event` holds."""
    try:
        return to_json(event, fallback=str).decode()
    except ValueError:  # half a character, which JSON in ASCII can hold
        return json.dumps(event, default=str)
