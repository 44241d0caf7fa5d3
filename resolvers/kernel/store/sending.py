"""One statement on a connection; errors of the database become refusals."""

from collections.abc import Sequence
from typing import Any

import asyncpg

from models.base import SIZE
from resolvers.errors import TOO_LONG, UNSTORABLE, Code, Refusal
from resolvers.kernel.store.changes import Clash, Conflict

TAKEN = "already exists"
BAD_VALUES = (asyncpg.DataError, asyncpg.ProgramLimitExceededError, asyncpg.CharacterNotInRepertoireError)


async def run(
    conn: Any, sql: str, values: Sequence[Any], conflict: Conflict = TAKEN, many: bool = False, begins: bool = False
) -> Any:
    """`begins`: with the BEGIN of a transaction before it."""
    try:
        if begins:
            return await conn.begin_with(sql, *values, many=many)
        return await (conn.fetch(sql, *values) if many else conn.fetchrow(sql, *values))
    except asyncpg.UniqueViolationError as error:
        text = conflict if isinstance(conflict, str) else conflict.get(error.constraint_name or "", TAKEN)
        taken = text.fields if isinstance(text, Clash) else ()
        raise Refusal(Code.CONFLICT, str(text), constraint=error.constraint_name, taken=taken) from None
    except asyncpg.ForeignKeyViolationError as error:
        raise Refusal(Code.BAD_REQUEST, f"{_column(error)}: unknown id") from None
    except asyncpg.CheckViolationError as error:
        column = _checked(error)
        raise Refusal(Code.BAD_REQUEST, TOO_LONG if column == SIZE else f"{column}: is not an allowed value") from None
    except asyncpg.StringDataRightTruncationError:
        raise Refusal(Code.BAD_REQUEST, TOO_LONG) from None
    except BAD_VALUES:
        raise Refusal(Code.BAD_REQUEST, UNSTORABLE) from None


def _checked(error: Any) -> str:
    """`agents_status_check` -> `status`."""
    return (error.constraint_name or "").removeprefix(f"{error.table_name}_").removesuffix("_check") or "a value"


def _column(error: Any) -> str:
    """`agents_workspace_id_crew_id_fkey` -> `crew_id`."""
    name = (error.constraint_name or "").removeprefix(f"{error.table_name}_").removesuffix("_fkey")
    return name.removeprefix("workspace_id_") or "reference"
