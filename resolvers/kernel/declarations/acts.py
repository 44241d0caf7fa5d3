"""`viewer_can`: the commands that the caller may call on a row, by the declarations that their gates and guards use."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Column, Text, and_, case, literal_column
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.visitors import iterate
from sqlmodel import SQLModel

from models.base import table_of
from resolvers.kernel.admission.row_rules import Allowed, ByRole, RowRule
from resolvers.kernel.declarations.operation import OPERATIONS, Auth, Operation
from resolvers.kernel.ground.policy import GATES
from resolvers.kernel.reader import Derived, derived
from resolvers.kernel.reader.clauses import clause, moved

Also = Mapping[str, Allowed | None]
ALSO: dict[type[SQLModel], Also] = {}


def viewer_can(model: type[SQLModel], also: Also | None = None) -> Derived:
    """The names, in the graph, of the commands that the caller may call on a row: those whose subject it is, and those
    of `also`, which find it by themselves: name of the operation -> the rule that it asks about the row, if any.

    What depends on the state of the row or on the input is not considered, nor the scopes of a token.
    """
    ALSO[model] = also or {}
    return derived(list[str], lambda row, scope: _acts(model, row, scope))


def commands_on(model: type[SQLModel]) -> Iterator[tuple[Operation[Any], tuple[RowRule, ...]]]:
    """The commands on rows of the model, with their rules about the row."""
    also = ALSO[model]
    for op in OPERATIONS.values():
        if op.kind != "command" or op.auth is not Auth.USER or not op.called:
            continue
        if op.name in also:
            rule = also[op.name]
            yield op, () if rule is None else (rule.rule,)
        elif op.subject is not None and op.subject.model is model:
            yield op, tuple([guard.rule.rule for guard in op.guards if isinstance(guard.rule, Allowed)])


def _acts(model: type[SQLModel], row: Any, scope: Any) -> Any:
    """The names in groups of equal conditions, by the first name of each."""
    groups = dict[Any, list[str]]()
    for op, rules in commands_on(model):
        where = op.subject.where if op.subject is not None else ()
        groups.setdefault((GATES[op.action], rules, where), []).extend(op.called)
    made: Any = literal_column("'{}'::text[]", ARRAY(Text))
    for (roles, rules, where), names in sorted(groups.items(), key=lambda group: min(group[1])):
        conditions = [rule.condition(row, scope) for rule in (ByRole(roles), *rules)]
        conditions += [_of_row(model, clause(condition), row) for condition in where]
        listed: Any = literal_column(f"'{{{','.join(sorted(names))}}}'::text[]", ARRAY(Text))
        made = made.op("||")(case((and_(*conditions), listed)))
    return made


def _of_row(model: type[SQLModel], condition: Any, row: Any) -> Any:
    """A condition on the table, on the columns of a row."""
    table = table_of(model)
    columns = [part for part in iterate(condition) if isinstance(part, Column) and part.table is table]
    return moved({column: row[column.key] for column in columns})(condition)
