"""`crewship chat`: a conversation with an agent in the terminal."""

import asyncio
import contextlib
import io
import json
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crewship.cli.client import Client
from crewship.cli.profiles import ClientError, Profile
from crewship.cli.terminal import Screen
from crewship.cli.turn import Chat, ChatTurn

LONGEST_MESSAGE = 60_000  # bytes; a browser sends no more (contract: websocket.connection.inbound_cap)

VIEWER = "{ viewer { id workspaces { id name slug } } }"
AGENTS = (
    "query ($ws: ID!, $after: String) { agents(workspaceId: $ws, first: 100, after: $after) {"
    " nodes { id slug name crew { id slug } } pageInfo { hasNextPage endCursor } } }"
)
CHATS = (
    "query ($ws: ID!, $agent: ID!) { agent(workspaceId: $ws, id: $agent) {"
    " chats(first: 20) { nodes { id title creator { id } } } } }"
)
CREATE = (
    "mutation ($ws: ID!, $agent: ID!) { createChat(workspaceId: $ws, input: {agentId: $agent, origin: CLI}) { id } }"
)
COUNT = "query ($chat: ID!) { messages(chatId: $chat, limit: 1) { totalCount } }"
SINCE = """query ($chat: ID!, $offset: Int) {
  messages(chatId: $chat, offset: $offset, limit: 500) { nodes { role content authorUserId author { fullName email } } }
}"""


@dataclass(frozen=True)
class Place:
    """The agent and the workspace of a conversation."""

    user_id: str
    workspace_id: str
    workspace_name: str
    agent_id: str
    agent_slug: str
    agent_name: str
    crew: Mapping[str, str] | None
    """Its id and slug; an agent may have none."""


async def find_place(client: Client, agent: str) -> Place:
    """The agent with that slug or id. Raises ClientError, with the names that would do."""
    viewer = (await client.graphql(VIEWER))["viewer"]
    workspace = _workspace(viewer["workspaces"], client.profile.workspace)
    agents = [found async for found in _agents(client, workspace["id"])]
    for found in agents:
        if agent in (found["slug"], found["id"]):
            of_agent = (found["id"], found["slug"], found["name"], found["crew"])
            return Place(viewer["id"], workspace["id"], workspace["name"], *of_agent)
    known = ", ".join(sorted(found["slug"] for found in agents))
    raise ClientError(
        f"there is no agent {agent!r} in {workspace['name']}; "
        + (f"there are: {known}" if known else "it has no agents yet")
    )


async def find_workspace(client: Client) -> dict[str, Any]:
    """The workspace that the profile names, or the only one. Raises ClientError, with the names that would do."""
    viewer = (await client.graphql(VIEWER))["viewer"]
    return _workspace(viewer["workspaces"], client.profile.workspace)


def _workspace(workspaces: list[dict[str, Any]], wanted: str | None) -> dict[str, Any]:
    known = ", ".join(sorted(found["slug"] for found in workspaces))
    if not workspaces:
        raise ClientError("you are not a member of any workspace yet: ask an owner to add you")
    if wanted is None and len(workspaces) > 1:
        raise ClientError(f"you are in several workspaces: name one with --workspace or CREWSHIP_WORKSPACE ({known})")
    for found in workspaces:
        if wanted in (None, found["slug"], found["id"]):
            return found
    raise ClientError(f"you are in no workspace {wanted!r}; there are: {known}")


async def _agents(client: Client, workspace_id: str) -> AsyncIterator[dict[str, Any]]:
    after = None
    while True:
        page = (await client.graphql(AGENTS, ws=workspace_id, after=after))["agents"]
        for agent in page["nodes"]:
            yield agent
        if not page["pageInfo"]["hasNextPage"]:
            return
        after = page["pageInfo"]["endCursor"]


class Conversation:
    """Turn after turn in one chat."""

    def __init__(self, client: Client, place: Place, screen: Screen) -> None:
        self.client, self.place, self.screen = client, place, screen
        self.chat = Chat("", place.workspace_id, place.agent_slug, place.user_id)
        self.title: str | None = None
        self.outcome: dict[str, Any] = {}  # of the last turn
        self._known = 0  # messages that were shown, or are older than the conversation

    async def begin(self, *, new: bool) -> None:
        """Continues the caller's last chat with the agent, or begins a new one."""
        found = None if new else await self._last()
        if found is None:
            made = await self.client.graphql(CREATE, ws=self.place.workspace_id, agent=self.place.agent_id)
            found = made["createChat"]
        else:
            self.title = found["title"]
            self._known = (await self.client.graphql(COUNT, chat=found["id"]))["messages"]["totalCount"]
        self.chat = Chat(found["id"], self.place.workspace_id, self.place.agent_slug, self.place.user_id)

    async def _last(self) -> dict[str, Any] | None:
        agent = (await self.client.graphql(CHATS, ws=self.place.workspace_id, agent=self.place.agent_id))["agent"]
        own = (chat for chat in agent["chats"]["nodes"] if (chat["creator"] or {}).get("id") == self.place.user_id)
        return next(own, None)

    async def say(self, text: str) -> bool:
        """One turn; False unless the agent did as asked. Ctrl-C cancels, twice without waiting. Raises ClientError."""
        if len(text.encode()) > LONGEST_MESSAGE:
            raise ClientError(f"a message may have {LONGEST_MESSAGE:,} bytes")
        self._show(await self._new())  # from a browser, or by another user
        turn = ChatTurn(self.client, self.chat, self._known, text, self.screen)
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(turn.run())
        loop.add_signal_handler(signal.SIGINT, lambda: task.cancel() if turn.stopping else turn.stop())
        try:
            went_well = await task
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            self.outcome = turn.outcome()
        found = await self._new()
        own = [
            n for n, said in enumerate(found) if said["content"] == text and said["authorUserId"] == self.place.user_id
        ]
        self._show(found[: own[0]] if own else [])  # an answer that was being given when this message came
        return went_well

    async def _new(self) -> list[dict[str, Any]]:
        """Messages of the chat that were not looked at before."""
        found = list((await self.client.graphql(SINCE, chat=self.chat.id, offset=self._known))["messages"]["nodes"])
        self._known += len(found)
        return found

    def _show(self, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            author = message["author"] or {}
            name = (
                (author.get("fullName") or author.get("email") or "you")
                if message["role"] == "user"
                else self.place.agent_slug
            )
            self.screen.note(f"{name}> {message['content']}")


def chat(profile: Profile, agent: str, message: str | None, *, new: bool, as_json: bool = False) -> int:
    """A conversation, one turn of it, or one turn per line of stdin; returns the exit code. Raises ClientError.

    With JSON it prints one document, or a line per line of stdin, and nothing else on stdout.
    """
    screen = Screen(*((io.StringIO(), io.StringIO()) if as_json else ()))
    with asyncio.Runner() as runner:
        client = Client(profile)
        try:
            conversation = Conversation(client, runner.run(find_place(client, agent)), screen)
            if message is not None and not message.strip():
                raise ClientError("the message is empty")
            runner.run(conversation.begin(new=new))
            if message is not None:
                return _turns(runner, conversation, [message], 2 if as_json else None)
            if sys.stdin.isatty() and not as_json:
                return _interactive(runner, conversation)
            return _turns(runner, conversation, sys.stdin, 0 if as_json else None)
        except (KeyboardInterrupt, asyncio.CancelledError):
            screen.settle()
            screen.close_line()
            return 130
        finally:
            runner.run(client.close())


def _turns(runner: asyncio.Runner, conversation: Conversation, lines: Iterable[str], indent: int | None) -> int:
    """A turn per line; the first failure ends the loop. `indent`: each turn is printed as JSON, in one line if
    it is 0.
    """
    for line in lines:
        if not line.strip():
            continue
        well = runner.run(conversation.say(line.strip()))
        if indent is not None:
            print(json.dumps(conversation.outcome, ensure_ascii=False, indent=indent or None), flush=True)
        if not well:
            return 1
    return 0


def _interactive(runner: asyncio.Runner, conversation: Conversation) -> int:
    screen, place = conversation.screen, conversation.place
    going_on = f"Continuing “{conversation.title}”; --new begins another chat." if conversation.title else ""
    screen.note(
        f"{place.agent_name} in {place.workspace_name}. Ctrl-C cancels an answer, Ctrl-D leaves. {going_on}".rstrip()
    )
    for line in _typed(screen):
        if not line.strip():
            continue
        try:
            runner.run(conversation.say(line.strip()))
        except ClientError as error:
            screen.trouble(str(error))
    return 0


def _typed(screen: Screen) -> Iterator[str]:
    """Lines, until the user leaves."""
    with contextlib.suppress(ImportError):  # a Python without it
        import readline  # noqa: F401 - input() edits the line with it
    while True:
        try:
            yield screen.ask("you> ")
        except (EOFError, KeyboardInterrupt):
            screen.note("")
            return
