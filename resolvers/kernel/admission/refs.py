"""Ids in bodies: the rows they name belong to the workspace of the call (contract: workspace_context.ids_in_bodies)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel
from sqlalchemy import ARRAY, Text, bindparam, func, select
from sqlmodel import SQLModel

from models.base import TenantRow, table_of
from resolvers.errors import Code, Refusal
from resolvers.kernel.ground.bounds import inputs_in, notes_of
from resolvers.kernel.reader.clauses import clause
from resolvers.kernel.store.statements import SCOPE, Statement, compiled


@dataclass(frozen=True, eq=False)
class Ref:
    """In the type of a field: `project_id: Annotated[Id, Ref(Project)]`, or of the elements of a list.

    An id of no row that is live, of the workspace and seen by the caller is BAD_REQUEST, before the operation runs.
    `by`: the column that is named; `where`: which rows count; `called`: what the refusal calls them. `or_empty`: an
    empty text is taken, too, and names none.
    """

    model: type[SQLModel]
    by: str = "id"
    where: tuple[Any, ...] = ()
    called: str | None = None
    or_empty: bool = False

    @property
    def fault(self) -> str:
        return f"there is no such {(self.called or self.model.__name__).lower()} in this workspace"


Path = tuple[str, ...]


@cache
def refs_of(model: type[BaseModel]) -> tuple[tuple[Path, Ref], ...]:
    """The fields of an input and its nested inputs that name rows."""
    return tuple(_refs_in(model, ()))


def _refs_in(model: type[BaseModel], path: Path) -> Iterator[tuple[Path, Ref]]:
    for name, field in model.model_fields.items():
        yield from (((*path, name), note) for note in notes_of(model, name) if isinstance(note, Ref))
        for nested in inputs_in(field.annotation):
            yield from _refs_in(nested, (*path, name))


def named_by(data: BaseModel) -> dict[Path, list[str]]:
    """The ids that were sent."""
    sent = dict[Path, list[str]]()
    for path, ref in refs_of(type(data)):
        ids = [id for id in _ids(data, path) if id or not ref.or_empty]
        if ids:
            sent[path] = list(dict.fromkeys(ids))
    return sent


def _ids(value: Any, path: Path) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _ids(each, path)
    elif not path:
        if value is not None:
            yield value
    elif isinstance(value, BaseModel) and path[0] in value.model_fields_set:
        yield from _ids(value.__dict__[path[0]], path[1:])


def counting(model: type[BaseModel], paths: tuple[Path, ...], limited: frozenset[type[SQLModel]]) -> Statement:
    """A statement with one row: for each field, how many of its ids exist."""

    def build() -> Any:
        refs = dict(refs_of(model))
        return select(*[_count(refs[path], ".".join(path), refs[path].model in limited) for path in paths])

    return compiled((model, "refs", paths, limited), build)


def _count(ref: Ref, name: str, limited: bool) -> Any:
    table = table_of(ref.model)
    ids = bindparam(f"ids_{name}", type_=ARRAY(Text()))
    rows = [table.c[ref.by] == func.any(ids), *[clause(condition) for condition in ref.where]]
    if issubclass(ref.model, TenantRow):
        rows.append(table.c.workspace_id == SCOPE.workspace_id)
    if "deleted_at" in table.c:
        rows.append(table.c.deleted_at.is_(None))
    rows += SCOPE.sees(ref.model, table) if limited else []
    return select(func.count()).select_from(table).where(*rows).scalar_subquery()


def refuse_unknown(model: type[BaseModel], sent: Mapping[Path, list[str]], found: Any) -> None:
    """`found`: the record of the counts, in the order of `sent`."""
    faults = {
        ".".join(path): dict(refs_of(model))[path].fault
        for (path, ids), count in zip(sent.items(), found, strict=True)
        if count != len(ids)
    }
    if faults:
        name, text = next(iter(faults.items()))
        raise Refusal(Code.BAD_REQUEST, f"{name}: {text}", fields=faults)
