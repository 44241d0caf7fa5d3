"""One row, or two where two matter, of everything an operation can name by id.

An entity's key is what its id is called: `crew` for `crew_id`. A row has no null where the table allows a value, so
that shapes are compared on values. A new table costs one function in its domain's `cases.py`: where a test has no
rows of its own for the table, it takes them from here.
"""

from collections.abc import Callable, Iterable
from typing import Any, get_type_hints

from sqlmodel import SQLModel

from models.base import TenantRow
from models.people.workspaces import Workspace
from tests.world import Person

Factory = Callable[["Plot"], SQLModel]
ENTITIES: dict[str, Factory] = {}
MODELS: dict[str, type[SQLModel]] = {}


class Plot:
    """A workspace and its rows, made as they are asked for: `plot["agent"]` makes the crew first."""

    def __init__(self, workspace: Workspace, owner: Person, second: Person | None = None) -> None:
        self.workspace, self.owner = workspace, owner
        self.second = second or owner
        self.rows: dict[str, SQLModel] = {"workspace": workspace}

    def __getitem__(self, key: str) -> Any:
        if key not in self.rows:
            made = ENTITIES[key](self)
            self.rows[key] = made  # after the rows that it needed
        return self.rows[key]

    @property
    def here(self) -> dict[str, Any]:
        return {"workspace_id": self.workspace.id}

    def ids(self) -> set[str]:
        """The ids of every row that has one, and of the second person."""
        return {row.id for row in self.rows.values() if hasattr(row, "id")} | {self.second.user_id}

    def all(self) -> list[SQLModel]:
        """Every row, in an order that satisfies the foreign keys."""
        for key in ENTITIES:
            self[key]
        return [row for key, row in self.rows.items() if key != "workspace"]


def planted(rows: Iterable[SQLModel], workspace: Workspace, owner: Any) -> Plot:
    """A workspace where these rows are already; of each model the first is taken."""
    plot, found = Plot(workspace, owner), dict[type[SQLModel], SQLModel]()
    for row in rows:
        found.setdefault(type(row), row)
    plot.rows |= {key: found[model] for key, model in MODELS.items() if model in found and key != "workspace"}
    return plot


def lacking(rows: Iterable[SQLModel]) -> list[str]:
    """The entities of a workspace's tables that none of the rows is in; one of each table."""
    there = {type(row) for row in rows}
    keys = {model: key for key, model in reversed(MODELS.items()) if issubclass(model, TenantRow)}
    return [key for key in MODELS if keys.get(MODELS[key]) == key and MODELS[key] not in there]


def entity(factory: Factory) -> Factory:
    key = factory.__name__
    if key in ENTITIES:
        raise TypeError(f"two entities are called {key}")
    ENTITIES[key] = factory
    MODELS[key] = get_type_hints(factory)["return"]
    return factory
