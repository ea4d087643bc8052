"""PostgreSQL's errors in our words, addresses without passwords, and the lock of the only writer."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from cybercorp.core.errors import (
    ConflictError,
    SettingsError,
    StorageBusyError,
    StorageCorruptError,
    StorageError,
    StorageFullError,
    StorageUnreachableError,
    StorageUnwritableError,
)
from cybercorp.store.database_urls import check_url, shown
from cybercorp.store.postgres import Database, take_lock
from tests.postgres import with_database

ADDRESS = "postgresql://me:geheim@db.example:5433/there?password=geheim&sslmode=require"


def raised(database: Database, work: Callable[[psycopg.Connection[tuple[object, ...]]], object]) -> StorageError:
    """What an error of the server becomes."""
    with database.connect() as connection, pytest.raises(psycopg.Error) as caught:
        work(connection)
    return database.error(caught.value)


def test_an_address_is_shown_without_its_password() -> None:
    """In every place where it could be printed."""
    assert shown(ADDRESS) == "postgresql://me@db.example:5433/there"
    database = Database(ADDRESS, "s")
    assert "geheim" not in f"{database!r} {database.shown} {database.error(psycopg.OperationalError('x'))}"
    assert shown("postgresql:///local") == "postgresql:///local"
    assert shown("postgresql://u:p@h1:1,h2:2/d") == "postgresql://u@h1:1,h2:2/d"


@pytest.mark.parametrize(
    "url", ["mysql://me:geheim@h/d", "host=h password=geheim", "", "postgresql:me:geheim@h", "postgresql://[geheim"]
)
def test_what_is_no_address(url: str) -> None:
    """Is refused without being repeated: it may hold a password."""
    with pytest.raises(SettingsError, match="'database_url'") as refused:
        check_url("database_url", url)
    assert "geheim" not in str(refused.value)
    assert "postgresql://" in refused.value.hint


def test_an_address_with_a_stray_character() -> None:
    """Names the cure, not the password."""
    with pytest.raises(SettingsError) as refused:
        Database("postgresql://me:geh%zzeim@h/d", "s")
    assert "geh" not in str(refused.value)
    assert "%40" in refused.value.hint


def test_nobody_answers() -> None:
    """It may come back, so agents keep their samples."""
    with pytest.raises(StorageUnreachableError) as refused:
        Database("postgresql://u@127.0.0.1:1/d", "s").connect()
    assert refused.value.retryable
    assert "Start PostgreSQL" in refused.value.hint


def test_no_such_database(database_url: str) -> None:
    """The hint says how to make it."""
    with pytest.raises(StorageUnwritableError, match="is not there") as refused:
        Database(with_database(database_url, "absent"), "s").connect()
    assert "createdb" in refused.value.hint


def test_no_such_user(database_url: str) -> None:
    """The hint says where user and password stand."""
    with pytest.raises(StorageUnwritableError, match="does not let us in") as refused:
        Database(database_url.replace("postgres@", "stranger:geheim@"), "s").connect()
    assert "geheim" not in str(refused.value)
    assert "database_url" in refused.value.hint


def test_a_wrong_password() -> None:
    """As libpq tells it."""
    told = psycopg.OperationalError('connection failed: FATAL:  password authentication failed for user "me"')
    assert isinstance(Database(ADDRESS, "s").error(told), StorageUnwritableError)


def test_a_database_that_only_reads(database_url: str) -> None:
    """A standby, or a user without rights: the primary is named as the cure."""
    database = Database(database_url, "public")
    read_only = {"default_transaction_read_only": "on"}
    with database.connect(read_only) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute("CREATE TABLE one (a int)")
    found = database.error(caught.value)
    assert isinstance(found, StorageUnwritableError)
    assert "primary" in found.hint


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("53100", StorageFullError),
        ("53300", StorageBusyError),
        ("55P03", StorageBusyError),
        ("57014", StorageBusyError),
        ("57P01", StorageUnreachableError),
        ("57P03", StorageUnreachableError),
        ("08006", StorageUnreachableError),
        ("XX001", StorageCorruptError),
        ("42501", StorageUnwritableError),
        ("22003", StorageError),
    ],
)
def test_what_the_server_raises(database_url: str, state: str, expected: type[StorageError]) -> None:
    """Each state of appendix A in the class that says what to do; the message is kept, hostile characters are not."""
    statement = f"DO $$ BEGIN RAISE EXCEPTION SQLSTATE '{state}' USING MESSAGE = E'why\\u001b[2J'; END $$"
    found = raised(Database(database_url, "public"), lambda connection: connection.execute(statement.encode()))
    assert type(found) is expected
    assert "why" in found.message
    assert "\x1b" not in found.message
    assert found.hint


def test_waiting_for_a_lock_ends(database_url: str) -> None:
    """After two seconds, with an error that says to come again."""
    database = Database(database_url, "public")
    with database.connect() as other:
        other.execute("CREATE TABLE hot (a int)")
        with other.transaction():
            other.execute("LOCK TABLE hot")
            found = raised(database, lambda connection: connection.execute("SELECT * FROM hot"))
    assert type(found) is StorageBusyError
    assert found.retryable


def test_one_holds_the_lock(database_url: str) -> None:
    """Until its connection ends, however it ends."""
    database = Database(database_url, "public")
    with database.connect() as first, database.connect() as second:
        assert take_lock(database, first, 7, 0)
        assert not take_lock(database, second, 7, 0)
        assert isinstance(database.in_use(), ConflictError)
        second.execute("SELECT pg_terminate_backend(%s)", (first.info.backend_pid,))
        assert take_lock(database, second, 7, 5)
