"""Edges from the answer of a mutation to the row that it changed, where the answer is no row.

The audit action of a command names the kind of the row: `approvals.decide` writes `approval.decided`, so its answer
leads to an Approval. The name of the edge is the name of the row's type. Of a deleted row the answer has the id.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

from models.base import TenantRow
from models.resources.skills import Skill
from resolvers.kernel.admission.gate import Tenancy
from resolvers.kernel.declarations.operation import OPERATIONS, Operation, Surface
from resolvers.kernel.declarations.outputs import Deleted, Output, Success
from resolvers.kernel.ground.inputs import bare
from resolvers.kernel.reader import GRAPHS, Subtype, Target, View, extend, written
from resolvers.kernel.reader.graph import Written, access_of
from resolvers.kernel.store.differences import kinds_of_row
from schema.bridge.fields import NODES, show_changed_id

GONE = frozenset({"skill_proposal.rejected"})
"""Actions that end the row, though their verb does not say so."""
EXACTLY = frozenset({"deleted", "delete", "removed", "revoked"})
"""Verbs that delete the row itself, and not a part of it, as `token_revoked` does."""
SHARED = (Deleted, Success)
CAMEL = re.compile(r"(?<!^)([A-Z])")


def bind_changes() -> None:
    """Adds the edges. For when all domains are loaded and all nodes are types."""
    for op in OPERATIONS.values():
        noun, verb = kind_of(op)
        if op.model in SHARED and noun:  # an edge to each of its kinds of rows would be null for all others
            if op.model is Success:
                show_changed_id(op.model)
            continue
        shown = _shown(noun)
        if shown is None or _led_already(op.model):
            continue
        name = CAMEL.sub(r"_\1", NODES[shown][0].__strawberry_definition__.name).lower()  # type: ignore[attr-defined]
        if verb in EXACTLY or op.audit in GONE:
            if not {"id", f"{name}_id"} & op.model.model_fields.keys():
                show_changed_id(op.model)
        elif name not in op.model.model_fields and name not in GRAPHS.get(op.model, {}):
            _MADE.add(op.model)
            extend(op.model, **{name: written(shown)})


_MADE: set[Any] = set()


def kind_of(op: Operation[Any]) -> tuple[str, str]:
    """The kind of row that a command of a workspace changes, and how, if only commands answer with its Output."""
    offered = op.kind == "command" and Surface.GRAPHQL in op.surfaces and op.tenancy is not Tenancy.NONE
    if not offered or not op.audit or op.returns not in _answers_of_commands():
        return "", ""
    noun, _, verb = op.audit.partition(".")
    return noun, verb


@cache
def _answers_of_commands() -> frozenset[Any]:
    """The Outputs that are answers of commands alone, and no part of others: of other rows nothing was changed."""
    offered = [op for op in OPERATIONS.values() if Surface.GRAPHQL in op.surfaces and isinstance(op.model, type)]
    outputs = {op.model: op for op in offered if issubclass(op.model, Output)}
    others = {op.model for op in offered if op.kind != "command" or op.returns is not op.model}
    return frozenset(outputs) - others - {part for model in outputs for part in _parts(model)}


def _parts(model: Any) -> Iterator[Any]:
    for info in model.model_fields.values():
        kind = bare(info.annotation)
        for part in (kind, *get_args(kind)):
            if isinstance(part, type) and issubclass(part, Output):
                yield part
                yield from _parts(part)


def _led_already(model: Any) -> bool:
    """Returns true if the domain has declared where the answer leads."""
    return model not in _MADE and any(isinstance(edge, Written) for edge in GRAPHS.get(model, {}).values())


def _shown(noun: str) -> Target | None:
    """The rows of a workspace or of the catalog that are of this kind, if they have one type in the schema."""
    kinds = {shown: _nouns(shown) for shown, types in NODES.items() if len(types) == 1 and _is_stored(shown)}
    found = sorted([shown for shown, nouns in kinds.items() if noun in nouns], key=lambda t: not isinstance(t, Subtype))
    return found[0] if found else None


def _is_stored(shown: Target) -> bool:
    model = shown.model if isinstance(shown, Subtype) else shown
    of_workspace = issubclass(model, TenantRow) and access_of(model).scopes  # without scopes no edge leads to them
    return not issubclass(model, View) and (bool(of_workspace) or model is Skill)


def _nouns(shown: Target) -> frozenset[str]:
    return frozenset({shown.name.lower()}) if isinstance(shown, Subtype) else kinds_of_row(shown)
