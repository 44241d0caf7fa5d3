"""The audit log as a file: row by row, of any length."""

import csv
from collections.abc import AsyncGenerator
from enum import StrEnum
from io import StringIO
from typing import Annotated, Any

import orjson

from resolvers.kernel import REST_ONLY, Action, Context, Otherwise, procedure
from resolvers.kernel.ground.streamed import Streamed
from resolvers.kernel.writing.walking import pages
from resolvers.oversight.audit.log import FilterAudit, walk_audit

COLUMNS = (
    "id", "created_at", "actor_type", "actor_id", "user_id", "user_email", "user_name", "action", "entity_type",
    "entity_id", "metadata", "changes", "ip_address", "user_agent", "workspace_id",
)  # fmt: skip
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""The characters with which a formula of a spreadsheet begins."""


class ExportFormat(StrEnum):
    """A JSON object a line, or comma-separated values with a header."""

    ndjson = "ndjson"
    csv = "csv"


MEDIA = {ExportFormat.ndjson: "application/x-ndjson", ExportFormat.csv: "text/csv; charset=utf-8"}


class ExportAudit(FilterAudit):
    """The filters of the list. `format` is ndjson or csv."""

    format: Annotated[ExportFormat, Otherwise(ExportFormat.ndjson)] = ExportFormat.ndjson


@procedure("audit.export", Action.MANAGE, surfaces=REST_ONLY, late=True)
async def export_audit(ctx: Context, data: ExportAudit) -> Streamed:
    """Export the audit log.

    Streams all matching entries. CSV cells that a spreadsheet would read as a formula begin with an apostrophe.
    """

    async def pieces() -> AsyncGenerator[bytes, None]:
        if data.format is ExportFormat.csv:
            yield _lines([COLUMNS])
        async for rows, _ in pages(ctx, walk_audit, data.changes("format")):
            if data.format is ExportFormat.csv:
                yield _lines([_cells(row) for row in rows])
            else:
                yield b"".join([orjson.dumps(row) + b"\n" for row in rows])

    return Streamed(pieces(), MEDIA[data.format], name=f"audit.{data.format}")


def _lines(rows: list[Any]) -> bytes:
    written = StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue().encode()


def _cells(row: dict[str, Any]) -> list[str]:
    return [_cell(row.get(name)) for name in COLUMNS]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return f"'{text}" if text.startswith(FORMULA) else text
