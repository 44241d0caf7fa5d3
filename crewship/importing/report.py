"""The account of an import: for each table the rows that were read, imported, there already, changed, and left out."""

from dataclasses import dataclass, field
from typing import Any, Final

EXAMPLES: Final = 3


@dataclass(slots=True)
class Noted:
    """One reason, the number of rows, and the ids of some."""

    rows: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, id: str) -> None:
        self.rows += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(id[:60])


@dataclass(slots=True)
class TableReport:
    """`there`: rows that an earlier import has brought. `unplaced`: columns with values that have no place here."""

    read: int = 0
    imported: int = 0
    there: int = 0
    left_out: dict[str, Noted] = field(default_factory=dict)
    changed: dict[str, Noted] = field(default_factory=dict)
    unplaced: dict[str, int] = field(default_factory=dict)

    def leave_out(self, reason: str, id: str) -> None:
        self.left_out.setdefault(reason, Noted()).add(id)

    def change(self, reason: str, id: str) -> None:
        self.changed.setdefault(reason, Noted()).add(id)

    def without(self) -> int:
        return sum(noted.rows for noted in self.left_out.values())


@dataclass(slots=True)
class Report:
    """The account of all workspaces. `without_place`: tables that this server has no place for, with the reason."""

    source: str = ""
    schema: int = 0
    dry_run: bool = False
    workspaces: list[str] = field(default_factory=list)
    tables: dict[str, TableReport] = field(default_factory=dict)
    without_place: dict[str, tuple[int, str]] = field(default_factory=dict)
    seconds: float = 0.0

    def of(self, name: str) -> TableReport:
        return self.tables.setdefault(name, TableReport())

    def as_dict(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "schema": self.schema,
            "dryRun": self.dry_run,
            "workspaces": self.workspaces,
            "seconds": round(self.seconds, 1),
            "tables": {name: _as_dict(table) for name, table in sorted(self.tables.items())},
            "withoutPlace": {
                name: {"rows": rows, "reason": reason} for name, (rows, reason) in sorted(self.without_place.items())
            },
        }

    def lines(self) -> list[str]:
        """The same, for a person."""
        verb = "would be imported" if self.dry_run else "imported"
        said = [f"{self.source}: schema {self.schema}, {len(self.workspaces)} workspaces"]
        for name, table in sorted(self.tables.items()):
            said.append(
                f"{name}: {table.read} read, {table.imported} {verb}, {table.there} there already,"
                f" {table.without()} left out"
            )
            said += [_line("left out", reason, noted) for reason, noted in table.left_out.items()]
            said += [_line("changed", reason, noted) for reason, noted in table.changed.items()]
            said += [f"  no place for {column}: {rows} values" for column, rows in table.unplaced.items()]
        for name, (rows, reason) in sorted(self.without_place.items()):
            said.append(f"{name}: {rows} rows have no place: {reason}")
        if self.dry_run:
            said.append("Nothing was written.")
        return [_printable(line) for line in said]


def _printable(line: str) -> str:
    """Ids and names come from the old server: none of them moves the cursor of a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def _line(kind: str, reason: str, noted: Noted) -> str:
    return f"  {kind}: {noted.rows} rows: {reason} (such as {', '.join(noted.examples)})"


def _as_dict(table: TableReport) -> dict[str, Any]:
    return {
        "read": table.read,
        "imported": table.imported,
        "there": table.there,
        "leftOut": [_noted(reason, noted) for reason, noted in table.left_out.items()],
        "changed": [_noted(reason, noted) for reason, noted in table.changed.items()],
        "columnsWithoutPlace": table.unplaced,
    }


def _noted(reason: str, noted: Noted) -> dict[str, Any]:
    return {"reason": reason, "rows": noted.rows, "examples": noted.examples}
