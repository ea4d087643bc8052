"""The server's log: one line for one thing on stderr, whatever a host or a client put into it."""

from __future__ import annotations

import datetime as dt
import logging
from typing import TextIO

from cybercorp.security.display import safe_text

MAX_LINE = 8_000
_TALKATIVE = ("alembic", "uvicorn")


class LineFormatter(logging.Formatter):
    """A record as one printable line, its time in UTC; a traceback's line ends are spelled out."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - its name there
        moment = dt.datetime.fromtimestamp(record.created, dt.UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03}Z"

    def format(self, record: logging.LogRecord) -> str:
        return safe_text(super().format(record), MAX_LINE)


def write_lines(stream: TextIO) -> None:
    """Log to `stream` from now on, unless the program that we are part of has set up its own log."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
