"""All stored secrets brought under the present keys, as `crewship reseal` does it.

Data keys are wrapped by the present key of the instance first, then values are sealed by the present data key of their
workspace. The rows show what remains, so that a call can be repeated.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlmodel import SQLModel, col

from models.base import classes_of_tables, secrets_of, table_of
from models.kernel import DataKey
from models.sealed import MARK, Sealed
from resolvers.instance.data_keys import StoredKey
from resolvers.instance.vault import FORM, HEAD, OWN, Unopenable
from resolvers.instance.wrapping import Unwrappable, Wrapped
from resolvers.kernel import (
    AcrossWorkspaces,
    Action,
    Code,
    Context,
    NoInput,
    Output,
    Reach,
    across_workspaces,
    command,
)
from resolvers.kernel.store.across import has_secret

PORTION: Final = 200
"""Rows of one transaction."""
KEYS: Final = ("id", "workspace_id", "wrapped_by", "wrapped")
STAMPS: Final = ("version", "updated_at")
"""A row is the same afterwards for its readers."""


class ReencryptedColumn(Output):
    """The numbers of values in one column. `skipped`: they were under the present key; `failed`: they cannot be
    decrypted, and stay as they are.
    """

    table: str
    column: str
    reencrypted: int
    skipped: int
    failed: int


@dataclass(slots=True)
class _Counted:
    reencrypted: int = 0
    skipped: int = 0
    failed: int = 0

    def of(self, model: type[SQLModel], column: str) -> ReencryptedColumn:
        return ReencryptedColumn(table=table_of(model).name, column=column, **asdict(self))


class Reencrypted(Output):
    """The numbers of secrets on the server. `key_version` names the present key."""

    key_version: str
    reencrypted: int
    skipped: int
    failed: int
    columns: list[ReencryptedColumn]


@command(
    "admin.reencrypt",
    Action.MANAGE,
    audit="admin.reencrypt",
    errors=(Code.FORBIDDEN, Code.UNAVAILABLE),
    reach=Reach.INSTANCE,
    late=True,
)
async def reencrypt_secrets(ctx: Context, data: NoInput) -> Reencrypted:
    """Update the encryption of all secrets.

    Applies to the whole server. Decrypts each value that an earlier key encrypts, and encrypts it with the present key.
    A value that cannot be decrypted is counted as failed and stays. Can be repeated. In a workspace of the first user
    only, unless CREWSHIP_INSTANCE_ADMINS is on.
    """
    vault: Any = ctx.outside.vault
    columns = [await _wrapped_anew(vault)]
    retired = await _retired()
    for model, column in _places():
        columns.append(await _sealed_anew(vault, model, column, retired))
    sums = {name: sum(getattr(each, name) for each in columns) for name in ("reencrypted", "skipped", "failed")}
    await ctx.begin()
    ctx.audit("INSTANCE", None, **sums)
    return Reencrypted(key_version=f"v{vault.number}", columns=columns, **sums)


def _places() -> Iterator[tuple[type[SQLModel], str]]:
    """Every column of secrets of the database."""
    for model in classes_of_tables():
        for column in secrets_of(model):
            yield model, column


async def _retired() -> set[bytes]:
    """The data keys that are replaced, as values name them."""

    async def find(rows: AcrossWorkspaces) -> list[Any]:
        return await rows.everywhere.select(DataKey, col(DataKey.retired_at).is_not(None), columns=("id",))

    return {bytes.fromhex(row["id"][1:]) for row in await across_workspaces(find)}


async def _wrapped_anew(vault: Any) -> ReencryptedColumn:
    """Wrapping may ask another server, so it is done between the transactions."""
    done, after = _Counted(), ""
    by = (await vault.data_keys.make(None)).wrapped.by

    async def find(rows: AcrossWorkspaces) -> list[Any]:
        id = col(DataKey.id)
        return await rows.everywhere.select(DataKey, id > after, columns=KEYS, order_by=id, limit=PORTION)

    while found := await across_workspaces(find):
        after = found[-1]["id"]
        for row in found:
            if row["wrapped_by"] == by:
                done.skipped += 1
                continue
            before = StoredKey(row["id"], row["workspace_id"], Wrapped(row["wrapped_by"], bytes(row["wrapped"])))
            try:
                made = await vault.data_keys.wrapped_anew(before)
            except Unwrappable:
                done.failed += 1
                continue
            await _keep_key(before, made)
            done.reencrypted += 1
    return done.of(DataKey, "wrapped")


async def _keep_key(before: StoredKey, made: StoredKey) -> None:
    """Unless another process was faster."""
    same = (col(DataKey.id) == made.id, col(DataKey.wrapped_by) == before.wrapped.by)

    async def keep(rows: AcrossWorkspaces) -> None:
        await rows.everywhere.update_where(DataKey, *same, wrapped_by=made.wrapped.by, wrapped=made.wrapped.key)

    await across_workspaces(keep)


async def _sealed_anew(vault: Any, model: type[SQLModel], column: str, retired: set[bytes]) -> ReencryptedColumn:
    table = table_of(model)
    done, after = _Counted(), ""
    shown = [name for name in ("id", "workspace_id", column, *STAMPS) if name in table.c]

    async def portion(rows: AcrossWorkspaces) -> str:
        """The last id, empty at the end."""
        of = (has_secret(table.c[column]), table.c.id > after)
        how: dict[str, Any] = {"columns": shown, "order_by": table.c.id, "including_deleted": True}
        found = await rows.everywhere.select(model, *of, limit=PORTION, **how)
        old = [row["id"] for row in found if _is_old(row[column], retired)]
        done.skipped += len(found) - len(old)
        if old:
            held = await rows.everywhere.select(model, *of, table.c.id.in_(old), skip_locked=True, **how)
            done.failed += len(old) - len(held)  # held by another transaction, which may seal them
            for row in held:
                await _seal(vault, rows, model, column, row, done)
        return str(found[-1]["id"]) if len(found) == PORTION else ""

    while after := await across_workspaces(portion):
        pass
    return done.of(model, column)


async def _seal(
    vault: Any, rows: AcrossWorkspaces, model: type[SQLModel], column: str, row: Any, done: _Counted
) -> None:
    where: dict[str, Any] = {"table": model, "column": column, "row_id": row["id"]}
    try:
        text = (await vault.open(Sealed(row[column]), **where)).reveal()
    except Unopenable:
        done.failed += 1
        return
    whose = row.get("workspace_id")
    kept = {name: row[name] for name in STAMPS if name in row}
    sealed = await vault.seal(text, **where, workspace_id=whose)
    same = table_of(model).c.id == row["id"]
    await rows.everywhere.update_where(model, same, including_deleted=True, columns=("id",), **{column: sealed}, **kept)
    done.reencrypted += 1


def _is_old(sealed: bytes, retired: set[bytes]) -> bool:
    """True unless the present data key of a workspace, or of the instance, seals it."""
    form = bytes(sealed[1:2]) if bytes(sealed[:1]) == MARK else OWN
    return form != FORM or bytes(sealed[2:HEAD]) in retired
