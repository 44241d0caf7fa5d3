"""The credentials that an agent gets as variables, and why: an assignment, a binding, or a crew of the credential."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import DateTime, Integer, Text, and_, case, func, literal, or_, select, union_all
from sqlalchemy.types import Boolean

from models.resources.credential_bindings import BindingScope, CredentialBinding
from models.resources.credentials import AgentCredential, Credential, CredentialCrew, CredentialStatus
from models.staff.agents import Agent
from resolvers.kernel import AcrossWorkspaces, across_workspaces, constant
from resolvers.resources.credentials.variables import LEGAL, canonical, is_variable

MOST: Final = 1_000
NO_VARIABLE: Final = "The credential {name} is not delivered: {variable} can be no variable"
FOLDED: Final = "The credential {name} is delivered as {variable}: its name can be no variable"
TAKEN: Final = "The credential {name} is not delivered: another credential is in the variable {variable}"
Tables = Callable[..., Any]
"""Returns the rows of a table as a FROM entry; with `including_deleted` also the deleted ones."""


class SlotSource(StrEnum):
    """The reason why an agent gets a credential, in descending order of precedence."""

    agent_grant = "agent_grant"
    agent_binding = "agent_binding"
    crew_binding = "crew_binding"
    workspace_binding = "workspace_binding"
    crew_link = "crew_link"


SOURCES: Final = tuple(SlotSource)
BINDINGS: Final = {
    BindingScope.AGENT: SlotSource.agent_binding,
    BindingScope.CREW: SlotSource.crew_binding,
    BindingScope.WORKSPACE: SlotSource.workspace_binding,
}
OF_BINDINGS: Final = frozenset(BINDINGS.values())


def fits(binding: Any, agent: Any) -> Any:
    """The condition of bindings whose scope contains the agent, a row of `agents`."""
    return or_(
        binding.scope == constant(BindingScope.WORKSPACE),
        binding.crew_id == agent.crew_id,
        binding.agent_id == agent.id,
    )


def offered_to(tables: Tables, agent_id: str, *columns: str) -> Any:
    """The statement of all assignments, bindings and crew links that fit an agent, the most specific first.

    Rows of credentials that cannot be used are in it, too: their bindings keep less specific ones out of the slot.
    `columns`: further ones of the credential.
    """
    given, binding = tables(AgentCredential).c, tables(CredentialBinding).c
    link, agent = tables(CredentialCrew).c, tables(Agent, including_deleted=True).c
    secret = tables(Credential, including_deleted=True).c
    own = agent.id == literal(agent_id, Text())
    lapsed = func.coalesce(given.expires_at <= func.now(), constant(False, Boolean()))
    rank = case(
        *[(binding.scope == constant(scope), _rank(source)) for scope, source in BINDINGS.items()], else_=_rank(None)
    )
    nothing, never = constant(None, Text(), as_="text"), constant(None, DateTime(timezone=True), as_="timestamptz")
    first, no = constant(0, Integer()), constant(False, Boolean())
    arms = union_all(
        select(
            _rank(SlotSource.agent_grant).label("rank"), given.env_var_name.label("variable"),
            given.priority.label("priority"), given.credential_id.label("credential_id"), given.id.label("entry"),
            lapsed.label("lapsed"), given.created_at.label("at"),
        ).where(given.agent_id == literal(agent_id, Text())),
        select(rank, binding.slot, first, binding.credential_id, binding.id, no, binding.created_at).where(
            own, fits(binding, agent)
        ),
        select(_rank(SlotSource.crew_link), nothing, first, link.credential_id, link.id, no, never).where(
            own, link.crew_id == agent.crew_id
        ),
    ).subquery()  # fmt: skip
    usable = and_(secret.status == constant(CredentialStatus.ACTIVE), secret.deleted_at.is_(None))
    return (
        select(
            secret.id, secret.name, *[secret[name] for name in columns], usable.label("usable"),
            *[arms.c[name] for name in ("rank", "variable", "priority", "lapsed", "at")],
        )
        .where(secret.id == arms.c.credential_id)
        .order_by(
            arms.c.rank, arms.c.priority, secret.last_used_at.nulls_first(), secret.created_at.desc(), arms.c.at,
            arms.c.entry,
        )
        .limit(MOST)
    )  # fmt: skip


def _rank(source: SlotSource | None) -> Any:
    return constant(len(SOURCES) if source is None else SOURCES.index(source), Integer())


@dataclass(frozen=True, slots=True)
class GivenCredential:
    """A credential that the agent gets, from its `row`. `variable` is the name in the environment; empty if there is
    none. `asked`: the name before it was folded.
    """

    row: Mapping[str, Any]
    source: SlotSource
    asked: str
    variable: str = ""


def delivered(rows: Sequence[Mapping[str, Any]]) -> tuple[list[GivenCredential], list[str]]:
    """The credentials of offered rows in order of delivery, and warnings about those that have no variable."""
    chosen = [GivenCredential(row, SOURCES[row["rank"]], row["variable"] or row["name"]) for row in _chosen(rows)]
    chosen.sort(key=lambda each: (each.row["priority"], SOURCES.index(each.source)))
    return _named(chosen)


async def delivered_to(workspace_id: str, agent_id: str) -> tuple[list[GivenCredential], list[str]]:
    """The same of an agent, whether the caller sees the credentials or not."""

    async def find(rows: AcrossWorkspaces) -> list[Any]:
        here = rows.within(workspace_id)
        return await here.report(offered_to(here.table, agent_id))

    return delivered(await across_workspaces(find))


def _chosen(rows: Sequence[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    sources = [SOURCES[row["rank"]] for row in rows]
    assigned = {row["id"] for row, source in zip(rows, sources, strict=True) if source is SlotSource.agent_grant}
    slots, bound = set[str](), set[str]()
    for row, source in zip(rows, sources, strict=True):
        if source is SlotSource.agent_grant:
            if row["usable"] and not row["lapsed"]:
                yield row
        elif source in OF_BINDINGS:
            if row["variable"] in slots:
                continue
            slots.add(row["variable"])
            if row["usable"] and row["id"] not in assigned:
                bound.add(row["id"])
                yield row
        elif row["usable"] and row["id"] not in assigned | bound:
            yield row


def _name_of(each: GivenCredential) -> str:
    """The name of an assignment was chosen for a variable, so its canonical form is no change."""
    return (canonical(each.asked) or each.asked) if each.source is SlotSource.agent_grant else each.asked


def _named(chosen: Sequence[GivenCredential]) -> tuple[list[GivenCredential], list[str]]:
    legal = {name for each in chosen if LEGAL.fullmatch(name := _name_of(each))}
    held, made, warnings = dict[str, str](), list[GivenCredential](), list[str]()
    for each in chosen:
        name = _name_of(each)
        folded = name if name in legal else canonical(name)
        fault = None
        if folded is None or not is_variable(folded):
            fault = NO_VARIABLE
        elif (name != folded and folded in legal) or held.setdefault(folded, name) != name:
            fault = TAKEN
        if fault is None and folded != name:
            warnings.append(FOLDED.format(name=each.row["name"], variable=folded))
        if fault is None:
            made.append(GivenCredential(each.row, each.source, each.asked, folded or ""))
            continue
        warnings.append(fault.format(name=each.row["name"], variable=folded or each.asked))
        if each.source is SlotSource.agent_grant:  # a key of a provider needs no variable
            made.append(each)
    return made, warnings


def bound_to(tables: Tables, slot: Any, agent_id: Any, crew_id: Any) -> Any:
    """The statement of the credential that is bound to a slot of an agent."""
    binding = tables(CredentialBinding).c
    rank = case(*[(binding.scope == constant(scope), _rank(source)) for scope, source in BINDINGS.items()])
    here = or_(
        binding.scope == constant(BindingScope.WORKSPACE), binding.crew_id == crew_id, binding.agent_id == agent_id
    )
    return select(binding.credential_id).where(binding.slot == slot, here).order_by(rank).limit(1)


def folded(name: Any) -> Any:
    """The slot of a column of names, if the name can be a variable."""
    return func.upper(func.replace(name, constant("-"), constant("_")))


def is_held(tables: Tables, secret: Any, agent_id: str) -> Any:
    """The condition of credentials that an agent may still use: an assignment decides, otherwise any binding that fits,
    or a crew.
    """
    given, binding = tables(AgentCredential).c, tables(CredentialBinding).c
    link, agent = tables(CredentialCrew).c, tables(Agent, including_deleted=True).c
    id = literal(agent_id, Text())
    assigned = (given.agent_id == id, given.credential_id == secret.id)
    lasting = or_(given.expires_at.is_(None), given.expires_at > func.now())
    own = agent.id == id
    bound = select(binding.id).where(own, binding.credential_id == secret.id, fits(binding, agent)).exists()
    linked = select(link.id).where(own, link.credential_id == secret.id, link.crew_id == agent.crew_id).exists()
    return and_(
        secret.status == constant(CredentialStatus.ACTIVE),
        or_(
            select(given.id).where(*assigned, lasting).exists(),
            and_(~select(given.id).where(*assigned).exists(), or_(bound, linked)),
        ),
    )
