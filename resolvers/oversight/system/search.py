"""Search of everything in a workspace that has a name, for palettes: by parts of names, and of comments.

It looks at the newest rows of each kind, at those that the query names whole by an indexed identifier or id, and at
issues, missions and comments that an index finds, so that its time has a limit for every query and every size of a
workspace. See docs/api.md.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from sqlalchemy import Integer, Text, and_, cast, column, false, func, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.selectable import Select
from sqlmodel import SQLModel

from models.people.auth import User
from models.people.workspaces import Membership
from models.resources.credentials import Credential
from models.resources.skills import Skill
from models.staff.agents import Agent
from models.staff.chats import Chat
from models.staff.crews import Crew
from models.staff.runs import Run
from models.work.issues import IssueComment
from models.work.missions import Mission, MissionType
from models.work.projects import Project
from resolvers.kernel import (
    EVERYONE,
    GRAPHQL_ONLY,
    Action,
    Input,
    QueryScope,
    Rows,
    View,
    at_most,
    constant,
    graph,
    query,
)
from resolvers.kernel.reader import Branch

TYPES = ("agents", "chats", "credentials", "crews", "issues", "projects", "runs", "skills", "workspace")
SCOPES = tuple([f"{name}:read" for name in TYPES])
"""A token needs the scopes of everything that can be found."""

LONGEST_QUERY = 100
LOOKED_AT = 5_000
"""The newest rows of each kind that a search looks at."""
MOST_FOUND = 100
MOST_CANDIDATES: Any = constant(1_000)
"""Issues and missions with the longest word of a query, and as many comments. Of more, only the newest are searched."""
NEWEST_COMMENTS: Any = constant(1_000)
"""Comments are long, so fewer are looked at."""
LONGEST_SEARCHED: Any = constant(10_000)
LONGEST_SHOWN: Any = constant(200)
SPACE: Any = constant(" ")


class SearchType(StrEnum):
    """The type of a row that a search finds."""

    agent = "agent"
    crew = "crew"
    issue = "issue"
    mission = "mission"
    project = "project"
    chat = "chat"
    run = "run"
    credential = "credential"
    skill = "skill"
    member = "member"
    comment = "comment"


def _said(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("blank", "must not be blank")
    return " ".join(text.split())


class Search(Input):
    """`query` is words; each is a part of a name, a slug, an identifier or an id, ignoring case. Without `types`,
    everything is searched.
    """

    query: Annotated[str, Field(strict=True, max_length=LONGEST_QUERY), AfterValidator(_said)]
    types: Annotated[list[SearchType], at_most(len(SearchType))] | None = None
    first: Annotated[int, Field(strict=True, ge=1, le=MOST_FOUND)] = 20


class Found(View):
    """A row that was found. `detail` is its identifier or slug, if it has one; of a comment, the identifier of its
    issue. It has no id of its own: a mission and its chat have the same id.
    """

    workspace_id: str
    type: SearchType
    row_id: str
    title: str
    detail: str | None
    closeness: int
    created_at: str


graph(Found, gate=Action.READ, scope="workspace:read", visible=EVERYONE)


def _newest(
    scope: QueryScope, model: type[SQLModel], *conditions: Callable[[Any], Any], by: str = "created_at", then: str = ""
) -> Any:
    """The newest rows of a table that the caller can see: those that its list shows, by the same door."""
    rows = scope.table(model)
    made = select(*rows.c).where(*[condition(rows.c) for condition in conditions])
    return made.order_by(*[rows.c[name].desc() for name in (by, then) if name]).limit(constant(LOOKED_AT)).subquery()


Source = tuple[Any, Any, Any, Any]
"""The rows of a type, and their title, detail, and further texts that are searched."""


def _issues(rows: Any) -> Source:
    return rows, rows.c.title, rows.c.identifier, constant(None, Text())


def _runs(rows: Any) -> Source:
    return rows, func.concat(rows.c.trigger_type, SPACE, rows.c.status, type_=Text()), rows.c.id, constant(None, Text())


def _is_issue(columns: Any) -> Any:
    return columns.mission_type == constant(MissionType.issue)


def _named(scope: QueryScope, query: Any) -> dict[SearchType, tuple[Source, Any]]:
    """Rows of any age whose identifier or id is the query, and these values."""
    issues, runs = scope.table(Mission), scope.table(Run)
    spelled = [query, func.upper(query, type_=Text()), func.lower(query, type_=Text())]
    by_identifier = select(*issues.c).where(_is_issue(issues.c), issues.c.identifier.in_(spelled)).subquery()
    by_id = select(*runs.c).where(runs.c.id == query).subquery()
    return {SearchType.issue: (_issues(by_identifier), spelled), SearchType.run: (_runs(by_id), [query])}


def _is_mission(columns: Any) -> Any:
    return columns.mission_type == constant(MissionType.orchestration)


def _candidates(scope: QueryScope, query: Any) -> Any:
    """The ids of missions, and of comments, with the longest word of the query, by the index of their texts: each null
    if there are too many. One FROM entry for all branches, so that the index is read once.
    """
    words = func.unnest(func.string_to_array(query, SPACE)).table_valued(column("word", Text), name="each")
    word = words.render_derived()
    longest = select(word.c.word).order_by(func.length(word.c.word).desc()).limit(constant(1)).scalar_subquery()
    ids = ARRAY(Text())
    found = func.search_candidates(scope.workspace_id.clause, longest, MOST_CANDIDATES).table_valued(
        column("missions", ids), column("comments", ids), name="found"
    )
    return select(found.c.missions, found.c.comments).offset(constant(0)).correlate(*scope.outer).subquery("candidates")


def _indexed(scope: QueryScope, candidates: Any) -> list[tuple[SearchType, Source]]:
    """Issues and missions of any age that the index finds. The newest are left out."""
    found = list[tuple[SearchType, Source]]()
    for kind, is_one in ((SearchType.issue, _is_issue), (SearchType.mission, _is_mission)):
        rows, newest = scope.table(Mission), scope.table(Mission)
        place = select(newest.c.created_at, newest.c.id).where(is_one(newest.c))
        place = place.order_by(newest.c.created_at.desc(), newest.c.id.desc())
        last = place.offset(constant(LOOKED_AT)).limit(constant(1)).subquery()
        behind = tuple_(rows.c.created_at, rows.c.id) <= tuple_(last.c.created_at, last.c.id)
        own = select(*rows.c).select_from(rows.join(last, behind)).where(is_one(rows.c))
        old = own.where(rows.c.id == func.any(candidates.c.missions)).correlate(*scope.outer).subquery()
        detail = old.c.identifier if kind is SearchType.issue else constant(None, Text())
        found.append((kind, (old, old.c.title, detail, constant(None, Text()))))
    return found


def _comments(scope: QueryScope, candidates: Any) -> list[Source]:
    """Comments on issues: of any age that the index finds, or the newest ones if these are too many."""
    newest, any_age = scope.table(IssueComment), scope.table(IssueComment)
    order = (newest.c.created_at.desc(), newest.c.id.desc())
    few = select(*newest.c).where(candidates.c.comments.is_(None)).order_by(*order).limit(NEWEST_COMMENTS)
    found = select(*any_age.c).where(any_age.c.id == func.any(candidates.c.comments))
    made = list[Source]()
    for rows in (each.correlate(*scope.outer).subquery() for each in (few, found)):
        issues = scope.table(Mission)
        of_issue = rows.join(issues, and_(issues.c.id == rows.c.mission_id, _is_issue(issues.c)))
        columns = [*rows.c, issues.c.identifier, func.left(rows.c.body, LONGEST_SEARCHED).label("text")]
        comments = select(*columns).select_from(of_issue).subquery()
        shown = func.left(comments.c.body, LONGEST_SHOWN, type_=Text())
        made.append((comments, shown, comments.c.identifier, comments.c.text))
    return made


def _sources(scope: QueryScope) -> dict[SearchType, Source]:
    agents, crews, projects = (_newest(scope, model) for model in (Agent, Crew, Project))
    issues, missions = [_newest(scope, Mission, is_one, then="id") for is_one in (_is_issue, _is_mission)]
    chats, runs = _newest(scope, Chat, by="updated_at"), _newest(scope, Run, by="began_at")
    credentials, skills = _newest(scope, Credential), _newest(scope, Skill)
    return {
        SearchType.agent: (agents, agents.c.name, agents.c.slug, agents.c.role_title),
        SearchType.crew: (crews, crews.c.name, crews.c.slug, constant(None, Text())),
        SearchType.issue: _issues(issues),
        SearchType.mission: (missions, missions.c.title, constant(None, Text()), constant(None, Text())),
        SearchType.project: (projects, projects.c.name, projects.c.slug, constant(None, Text())),
        SearchType.chat: (
            chats,
            func.coalesce(chats.c.title, constant(""), type_=Text()),
            constant(None, Text()),
            constant(None, Text()),
        ),
        SearchType.run: _runs(runs),
        SearchType.credential: (credentials, credentials.c.name, constant(None, Text()), constant(None, Text())),
        SearchType.skill: (skills, skills.c.display_name, skills.c.slug, skills.c.name),
        SearchType.member: _members(scope),
    }


def _members(scope: QueryScope) -> Source:
    """Members are found by their names alone: not every member sees every address."""
    seats, users = _newest(scope, Membership), scope.table(User)
    columns = [users.c.id, users.c.full_name, seats.c.created_at, seats.c.workspace_id]
    rows = select(*columns).select_from(seats.join(users, users.c.id == seats.c.user_id)).subquery()
    return (
        rows,
        func.coalesce(rows.c.full_name, constant(""), type_=Text()),
        constant(None, Text()),
        constant(None, Text()),
    )


def _folded(text: Any) -> Any:
    """A text as the index of issues has it: models/sql/issue_texts.sql."""
    return func.search_folded(text, type_=Text())


def _matches(scope: QueryScope, kind: SearchType, source: Source, sought: Any) -> Select[Any]:
    rows, title, detail, more = source
    parts = [func.coalesce(cast(part, Text), constant("")) for part in (title, detail, more)]
    # the identifier of a comment is that of its issue
    whole = (
        parts[2]
        if kind is SearchType.comment
        else parts[0].concat(SPACE).concat(parts[1]).concat(SPACE).concat(parts[2])
    )
    words = (
        func.unnest(func.string_to_array(sought, SPACE))
        .table_valued(column("word", Text), name="sought")
        .render_derived()
    )
    matched = select(func.bool_and(func.strpos(_folded(whole), words.c.word) > constant(0))).select_from(words)
    close = constant(4) if kind is SearchType.comment else func.search_closeness(*parts[:2], whole, sought)
    when = next(rows.c[name] for name in ("began_at", "created_at") if name in rows.c)
    return select(
        scope.workspace_id.clause.label("workspace_id"),
        constant(kind, Text()).label("type"),
        rows.c.id.label("row_id"),
        parts[0].label("title"),
        cast(detail, Text).label("detail"),
        cast(close, Integer).label("closeness"),
        when.label("created_at"),
    ).where(matched.scalar_subquery())


def _is_one_of(names: Any) -> Callable[[Any], Any]:
    return lambda found: func.coalesce(found.detail.in_(names), false())


@query("system.search", Action.READ, surfaces=GRAPHQL_ONLY, tickets=False, scopes=SCOPES)
def search(scope: QueryScope, data: Search) -> Rows[Found]:
    """Search everything that has a name.

    The closest match first: whole names, then beginnings of names and of words, then other parts, then comments; newest
    first among equals. Ignores the case of letters. Looks at the 5,000 newest rows of each type that the caller can
    see, and finds issues by a whole identifier and runs by a whole id at any age. Finds issues, missions and comments
    on issues at any age if the longest word is in few: in at most 1,000 issues and missions, hidden ones included, or
    comments, and in at most 2,000 of these together. Looks at the newest 1,000 comments otherwise.
    """
    query: Any = data.query.clause  # type: ignore[attr-defined]
    sought = _folded(query)
    named, candidates = _named(scope, query), _candidates(scope, query)
    inner = scope.around(candidates)
    branches = []

    def find(kind: SearchType, source: Source, unless: Any = None) -> None:
        rows = _matches(scope, kind, source, sought)
        if data.types is not None:
            wanted = func.any(data.types.clause)  # type: ignore[attr-defined]
            rows = rows.where(constant(kind, Text()) == wanted)
        branches.append(Branch(rows, unless=unless))

    for kind, source in _sources(scope).items():
        known = named[kind][1] if kind in named else None
        find(kind, source, None if known is None else _is_one_of(known))
    for kind, source in _indexed(inner, candidates):
        find(kind, source, _is_one_of(named[kind][1]) if kind in named else None)
    for source in _comments(inner, candidates):
        find(SearchType.comment, source)
    for kind, (source, _) in named.items():
        find(kind, source)
    found = scope.merge(Found, *branches, beside=candidates).order_by("closeness", "-created_at", "type", "row_id")
    return found.up_to(data.first, MOST_FOUND)
