"""Search of messages with an agent, by words."""

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from sqlalchemy import Integer, Text, cast, column, func, select
from sqlalchemy.dialects.postgresql import JSONB

from models.staff.agents import Agent
from models.staff.chats import Message, MessageRole
from resolvers.kernel import (
    EVERYONE,
    Action,
    Code,
    Domain,
    Id,
    Page,
    Paging,
    QueryScope,
    Row,
    Subject,
    View,
    constant,
    graph,
    query,
)
from resolvers.rules.journal_times import Since, Until, sql

DOMAIN = Domain("conversations", scopes="chats")

LONGEST_QUERY = 1_000
PATIENCE: Any = constant("2 s")
"""The time limit of a search for rare or missing words."""
MOST_RANKED = 200
"""The number of newest matches among which the best are ranked."""
SIMPLE: Any = constant("simple", as_="regconfig")
TYPES: Any = constant(["chat.user_message", "chat.agent_response"])
MARKS: Any = constant("StartSel=**, StopSel=**, MaxFragments=2")


def _said(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("blank", "must not be blank")
    return text


class SearchSyntax(StrEnum):
    """The syntax of a query: one phrase, or web search with `"a phrase"`, `or`, and `-` for excluded words. Each
    side of an `or` must contain a word to find.
    """

    phrase = "phrase"
    websearch = "websearch"


class SearchConversations(Paging):
    """`query` is one phrase: adjacent words, ignoring case; `syntax` changes that.

    `since` and `until` are RFC 3339 times with a zone; both include messages of that millisecond.
    """

    page_default: ClassVar[int] = 20
    cut_to_default: ClassVar[bool] = True

    agent_id: Annotated[Id, AfterValidator(_said)]
    query: Annotated[str, Field(strict=True, max_length=LONGEST_QUERY), AfterValidator(_said)]
    syntax: SearchSyntax = SearchSyntax.phrase
    since: Since = None
    until: Until = None


class SearchHit(View):
    """A matching message. `highlight` is what is around the words, which stand between `**`."""

    id: str
    message_id: str
    chat_id: str
    agent_id: str
    role: MessageRole
    content: str
    tool_summary: str | None
    highlight: str
    created_at: str
    rank: float


graph(SearchHit, gate=Action.READ, scope="chats:read", visible=EVERYONE)


@query("conversations.search", Action.READ, subject=Subject(Agent, "agent_id"), errors=(Code.UNAVAILABLE,))
def search_conversations(scope: QueryScope, agent: Row[Agent], data: SearchConversations) -> Page[SearchHit]:
    """Search messages of an agent.

    Searches messages of users and of the agent in all its chats: the best match first, then the newest, among the
    newest 200 matches. `syntax: websearch` reads the query as search engines do. A search takes at most two seconds and
    returns the matches found so far; UNAVAILABLE if there are none.
    """
    is_web = data.syntax is SearchSyntax.websearch
    place, sought = scope.workspace_id.__clause_element__(), data.query.__clause_element__()  # type: ignore[attr-defined]
    asked = func.jsonb_build_object(
        constant("agents"), func.jsonb_build_array(scope.id_of(agent), type_=JSONB()),
        constant("types"), TYPES, constant("web" if is_web else "q"), sought,
        constant("since"), sql(data.since), constant("until"), sql(data.until),
        constant("to_the_end"), constant(True), constant("patience"), PATIENCE, type_=JSONB(),
    )  # fmt: skip
    most = cast(constant(MOST_RANKED), Integer)
    lines = func.conversation_lines(place, asked, most).table_valued(column("message_id", Text), name="line")
    said = scope.table(Message)
    words = func.to_tsvector(SIMPLE, func.journal_words(said.c.content))
    phrase = func.journal_web(sought) if is_web else func.phraseto_tsquery(SIMPLE, func.journal_words(sought))
    shown = [said.c[name] for name in ("id", "chat_id", "agent_id", "role", "content", "tool_summary", "created_at")]
    found = select(
        *shown,
        said.c.id.label("message_id"),
        func.ts_headline(SIMPLE, said.c.content, phrase, MARKS, type_=Text()).label("highlight"),
        func.ts_rank(words, phrase).label("rank"),
    ).select_from(lines.join(said, said.c.id == lines.c.message_id))
    # the name of the agent is among the words of the journal, but not of the message
    found = found.where(words.op("@@")(phrase))
    return scope.view(SearchHit, found).order_by("-rank", "-created_at", "id").page(data)
