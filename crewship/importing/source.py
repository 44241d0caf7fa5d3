"""The database of the Go server: read row by row from one snapshot, and never written."""

import sqlite3
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

NAME: Final = "crewship.db"
MAGIC: Final = b"SQLite format 3\0"
LONGEST: Final = 9_000_000
"""Characters of a value that are read: more than any column takes, so that a longer one is found too long."""
PORTION_ROWS, PORTION_SIZE = 500, 1 << 20
OLDEST: Final = 62
"""The first schema without the table of runs: runs are entries of the journal."""
NEEDED: Final[Mapping[str, frozenset[str]]] = {
    "users": frozenset({"id", "email"}),
    "workspaces": frozenset({"id", "slug", "name"}),
    "workspace_members": frozenset({"workspace_id", "user_id", "role"}),
    "crews": frozenset({"id", "workspace_id", "slug"}),
    "agents": frozenset({"id", "workspace_id", "slug"}),
    "chats": frozenset({"id", "workspace_id", "agent_id"}),
    "missions": frozenset({"id", "workspace_id", "crew_id"}),
    "journal_entries": frozenset({"id", "workspace_id", "entry_type"}),
}
"""Without these tables and columns a database is not one of the Go server, or one whose schema is unknown."""
Row = dict[str, Any]


class SourceError(Exception):
    """The data directory cannot be imported; the text says why."""


class Source:
    """One moment of the database. A server that writes to it meanwhile is not disturbed, and not seen."""

    def __init__(self, path: Path) -> None:
        self.root = path if path.is_dir() else path.parent
        self.path = path / NAME if path.is_dir() else path
        _check_file(self.path)
        self._opened = _opened(self.path)
        try:
            self._begin()
        except sqlite3.Error as error:
            self._opened.close()
            raise SourceError(f"{self.path} cannot be read: {error}") from error
        except SourceError:
            self._opened.close()
            raise

    def _begin(self) -> None:
        self._opened.text_factory = _text
        self._opened.execute("PRAGMA query_only = ON")
        self._opened.execute("BEGIN")
        found = self._opened.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        shadows = tuple(f"{name}_" for name, sql in found if str(sql).upper().startswith("CREATE VIRTUAL"))
        plain = [name for name, sql in found if not str(sql).upper().startswith("CREATE VIRTUAL")]
        names = sorted(name for name in plain if not name.startswith(("sqlite_", *shadows)))
        self.tables: dict[str, tuple[str, ...]] = {
            name: tuple(row[1] for row in self._opened.execute(f"PRAGMA table_info({_quoted(name)})")) for name in names
        }
        self.version = self._version()
        for table, columns in NEEDED.items():
            if lacking := sorted(columns - set(self.tables.get(table, ()))):
                raise SourceError(
                    f"{self.path} has another schema than the Go server of July and August 2026:"
                    f" {table} lacks {', '.join(lacking)}"
                )

    def _version(self) -> int:
        if "_migrations" not in self.tables:
            raise SourceError(f"{self.path} is not the database of a Crewship server: it has no table _migrations")
        version = self._opened.execute("SELECT max(version) FROM _migrations").fetchone()[0]
        if not isinstance(version, int) or version < OLDEST:
            raise SourceError(
                f"{self.path} has schema {version}; the import reads schemas from {OLDEST} on: start a Go server of"
                " July or August 2026 once with this directory, which migrates it"
            )
        return version

    def close(self) -> None:
        self._opened.close()

    def count(self, table: str) -> int:
        return int(self._one(f"SELECT count(*) FROM {_quoted(table)}"))

    def filled(self, table: str, columns: Sequence[str]) -> dict[str, int]:
        """The number of rows that have a value in each of these columns."""
        if not columns:
            return {}
        sums = ", ".join(f"count(nullif({_quoted(name)}, ''))" for name in columns)
        with _explained(self.path):
            found = self._opened.execute(f"SELECT {sums} FROM {_quoted(table)}").fetchone()
        return {name: count for name, count in zip(columns, found, strict=True) if count}

    def _one(self, sql: str) -> Any:
        with _explained(self.path):
            return self._opened.execute(sql).fetchone()[0]

    def ids(self, table: str, workspace_id: str) -> set[str]:
        """The ids of the rows of a workspace."""
        sql = f"SELECT id FROM {_quoted(table)} WHERE workspace_id = ?"
        with _explained(self.path):
            return {str(row[0]) for row in self._opened.execute(sql, (workspace_id,))}

    def rows(
        self, table: str, where: str = "", values: Sequence[Any] = (), beside: Mapping[str, str] = MappingProxyType({})
    ) -> Iterator[Row]:
        """All rows of a table, one at a time; the table is called `t`. `beside`: further columns, by a query each."""
        columns = self.tables[table]
        shown = [f"{_bounded(name)} AS {_quoted(name)}" for name in columns]
        shown += [f"({sql})" for sql in beside.values()]
        condition = f" WHERE {where}" if where else ""
        sql = f"SELECT {', '.join(shown)} FROM {_quoted(table)} t{condition} ORDER BY t.rowid"
        yield from self.query((*columns, *beside), sql, values)

    def query(self, columns: Sequence[str], sql: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        with _explained(self.path):
            for row in self._opened.execute(sql, values):
                yield dict(zip(columns, row, strict=True))


def portions(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Rows by the hundreds, and by the megabyte."""
    gathered, size = list[Row](), 0
    for row in rows:
        gathered.append(row)
        size += sum(len(value) for value in row.values() if isinstance(value, str | bytes))
        if len(gathered) >= PORTION_ROWS or size >= PORTION_SIZE:
            yield gathered
            gathered, size = [], 0
    if gathered:
        yield gathered


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """A damaged page becomes one sentence."""
    try:
        yield
    except sqlite3.Error as error:
        raise SourceError(f"{path} is damaged or in use: {error}") from error


def _check_file(path: Path) -> None:
    """Refuses what SQLite would take for an empty database, and a file that was cut."""
    try:
        with path.open("rb") as file:
            head = file.read(100)
            size = path.stat().st_size
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}); name the data directory of the server") from error
    if len(head) < 100 or not head.startswith(MAGIC):
        raise SourceError(f"{path} is not an SQLite database")
    (page,), (pages,) = struct.unpack(">H", head[16:18]), struct.unpack(">I", head[28:32])
    page = 65536 if page == 1 else page
    # the number is valid where both counters of changes agree, and pages of the log are not in the file yet
    if head[24:28] == head[92:96] and size < pages * page and not path.with_name(f"{path.name}-wal").exists():
        raise SourceError(f"{path} is cut: it has {size} bytes, and its header says {pages * page}")


def _opened(path: Path) -> sqlite3.Connection:
    """Read only. In a directory that cannot be written, a database without a log is read as it is."""
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    try:
        made = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=10)
        made.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return made
    except sqlite3.OperationalError:
        if path.with_name(f"{path.name}-wal").exists():
            raise SourceError(
                f"{path} has a log beside it that cannot be opened here: stop the server, and import a directory that"
                " can be written"
            ) from None
        return sqlite3.connect(f"{uri}&immutable=1", uri=True, isolation_level=None, check_same_thread=False)
    except sqlite3.DatabaseError as error:
        raise SourceError(f"{path} cannot be read: {error}") from error


def _text(content: bytes) -> str:
    """Bytes that are not UTF-8 become surrogates, which `Fitting` finds."""
    return content.decode("utf-8", "surrogateescape")


def _bounded(column: str) -> str:
    """A value of any length that is read up to a bound. The length is that of bytes: a text's own ends at a NUL."""
    name = f"t.{_quoted(column)}"
    long = f"typeof({name}) IN ('text', 'blob') AND length(CAST({name} AS BLOB)) > {LONGEST}"
    return f"CASE WHEN {long} THEN substr({name}, 1, {LONGEST}) ELSE {name} END"


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
