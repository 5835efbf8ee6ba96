"""What all models share."""

import enum
import os
import time
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin
from uuid import UUID

from pydantic import Field
from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Enum,
    Identity,
    Integer,
    MetaData,
    Numeric,
    TypeDecorator,
    event,
)
from sqlalchemy.ext.mutable import MutableDict, MutableList
from sqlalchemy.orm import (
    DeclarativeBase,
    InstrumentedAttribute,
    Mapped,
    TypeResolve,
    mapped_column,
)
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.sql.schema import ScalarElementColumnDefault
from sqlalchemy.types import TypeEngine

ENUM_LENGTH = 50  # with room, so that a new value needs no migration
SQLITE_DIGITS = 15  # those that a float keeps


class UTCDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC, also where the database knows no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuses a datetime without a zone with ValueError."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)

    def as_stored(self, value: object) -> object:
        """What the database gives back for `value`: the time in UTC."""
        return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo else value


class Exact(TypeDecorator[Decimal]):
    """A decimal number with a fixed number of places, rounded as PostgreSQL rounds."""

    impl = Numeric
    cache_ok = True

    def __init__(self, precision: int, scale: int) -> None:
        super().__init__(precision, scale)
        self.precision, self.scale = precision, scale

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.supports_native_decimal:
            return super().load_dialect_impl(dialect)
        # SQLAlchemy warns of decimals that become floats, but so few digits survive that.
        return Numeric(self.precision, self.scale, asdecimal=False)

    def coerce_compared_value(self, op: OperatorType | None, value: object) -> TypeEngine[Any]:
        # A factor is not rounded, nor is what the column is compared with.
        return self.impl_instance.coerce_compared_value(op, value)

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> object:
        """Refuses a number with too many digits with ValueError."""
        number = self.as_stored(value)
        if dialect.name == "sqlite" and isinstance(number, Decimal):
            self._check(number, SQLITE_DIGITS)
        return number

    def process_result_value(
        self, value: Decimal | float | None, dialect: Dialect
    ) -> Decimal | None:
        return Decimal(f"{value:.{self.scale}f}") if isinstance(value, int | float) else value

    def as_stored(self, value: object) -> object:
        """What the database gives back for `value`: 0.10 for 0.1. Raises ValueError."""
        if not isinstance(value, Decimal | int | float):
            return value
        number = Decimal(str(value)).quantize(Decimal(1).scaleb(-self.scale), ROUND_HALF_UP)
        self._check(number, self.precision)
        return number

    def _check(self, number: Decimal, digits: int) -> None:
        if abs(number) >= 10 ** (digits - self.scale):
            raise ValueError(f"{number} has more than {digits} digits")


class Base(DeclarativeBase):
    """Base of all models. Constraints have names, so that migrations can change them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {datetime: UTCDateTime, Decimal: Exact(12, 2)}

    @classmethod
    def schemas(cls) -> list[str]:
        """Those that models name."""
        return sorted({table.schema for table in cls.metadata.tables.values() if table.schema})


@event.listens_for(Base, "resolve_type_annotation")
def _type_of(annotation: TypeResolve) -> TypeEngine[Any] | None:
    """The type of a column by its annotation; None leaves it to SQLAlchemy."""
    python = annotation.resolved_type
    origin = get_origin(python) or python
    if origin is Literal:
        return Enum(*get_args(python), native_enum=False, length=ENUM_LENGTH)
    if origin is dict:
        return MutableDict.as_mutable(JSON(none_as_null=True))
    if origin is list:
        return MutableList.as_mutable(JSON(none_as_null=True))
    if isinstance(python, type) and issubclass(python, enum.Enum):
        return Enum(python, native_enum=False, length=ENUM_LENGTH, values_callable=_values)
    return None


def _values(choices: type[enum.Enum]) -> list[str]:
    return [str(each.value) for each in choices]


@event.listens_for(Base, "attribute_instrument", propagate=True)
def _as_stored(_model: type, _name: str, attribute: InstrumentedAttribute[Any]) -> None:
    """An attribute has at once what the database gives back, so that all answers agree."""
    columns: list[Column[Any]] = getattr(attribute.property, "columns", [])
    if columns and isinstance(columns[0].type, Exact | UTCDateTime):
        as_stored, default = columns[0].type.as_stored, columns[0].default
        event.listen(attribute, "set", lambda _, value, *__: as_stored(value), retval=True)
        if isinstance(default, ScalarElementColumnDefault):
            default.arg = as_stored(default.arg)


def uuid7() -> UUID:
    """A UUID that sorts by the millisecond of its making: version 7 of RFC 9562, section 5.7."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10))
    number = milliseconds << 80 | random
    number = number & ~(0xF << 76) | 0x7 << 76  # the version
    number = number & ~(0x3 << 62) | 0x2 << 62  # the variant
    return UUID(int=number)


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


UUIDKey = Annotated[UUID, mapped_column(primary_key=True, default=uuid7)]
# SQLite numbers rows by itself only in a column of type INTEGER.
IdentityKey = Annotated[
    int,
    mapped_column(BigInteger().with_variant(Integer, "sqlite"), Identity(), primary_key=True),
]

# An amount of money, in models and in requests.
Money = Annotated[Decimal, Field(max_digits=12, decimal_places=2), mapped_column(Exact(12, 2))]


class Stamped:
    """Adds when a row was made and when it was last changed."""

    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)
