"""What every table of records is made of: the metadata they register with, and their kinds of columns."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Integer, MetaData, Text
from sqlalchemy.types import TypeDecorator

ID = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only for INTEGER

_MARK = "\U0010ffff"  # a noncharacter, so nobody's text has it; where it has, it is marked as well


class Words(TypeDecorator[str]):
    """Text of anybody, kept as it is: PostgreSQL takes no NUL, which is written with a mark there."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        if value is None or dialect.name != "postgresql":
            return value
        return value.replace(_MARK, _MARK + "1").replace("\x00", _MARK + "0")

    def process_result_value(self, value: str | None, dialect: Any) -> str | None:
        if value is None or dialect.name != "postgresql" or _MARK not in value:
            return value
        return value.replace(_MARK + "0", "\x00").replace(_MARK + "1", _MARK)


METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s",
    }
)
