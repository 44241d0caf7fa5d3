"""Cases of chats, for the tests that are made for every operation."""

from models.staff.chats import (
    Chat,
    ChatAttachment,
    ChatMode,
    ChatOrigin,
    ChatParticipant,
    ChatReadCursor,
    Message,
    MessageReaction,
    MessageRole,
)
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.world import now

EMOJI = "👍"


@entity
def chat(plot: Plot) -> Chat:
    return Chat(
        agent_id=plot["agent"].id,
        created_by=plot.owner.user_id,
        title="Weather",
        origin=ChatOrigin.UI,
        ended_at=now(),
        last_seq=2,
        **plot.here,
    )


@entity
def second_chat(plot: Plot) -> Chat:
    """Nothing refers to it."""
    return Chat(agent_id=plot["agent"].id, created_by=plot.owner.user_id, title="Tides", **plot.here)


@entity
def chat_of_issue(plot: Plot) -> Chat:
    """Agents work on the issue there."""
    made = {"agent_id": plot["lead"].id, "mode": ChatMode.MISSION, "origin": ChatOrigin.CLI, "title": "Leak"}
    return Chat(id=plot["issue_under_way"].id, created_by=plot.owner.user_id, **made, **plot.here)


@entity
def message(plot: Plot) -> Message:
    """No message has a value in every column; this one has, so that shapes are compared on values."""
    return Message(
        chat_id=plot["chat"].id,
        seq=1,
        agent_id=plot["agent"].id,
        role=MessageRole.assistant,
        content="Rain",
        parts=[{"type": "text", "content": "Rain"}],
        tool_name="forecast",
        tool_summary="[tool: forecast]",
        data={"kind": "example"},
        author_user_id=plot.owner.user_id,
        run_id=plot["run"].id,
        **plot.here,
    )


@entity
def question(plot: Plot) -> Message:
    """It started the run."""
    return Message(
        chat_id=plot["chat"].id, seq=2, role=MessageRole.user, content="Rain?", author_user_id=plot.owner.user_id,
        run_id=plot["run"].id, **plot.here,
    )  # fmt: skip


@entity
def chat_read_cursor(plot: Plot) -> ChatReadCursor:
    return ChatReadCursor(user_id=plot.second.user_id, chat_id=plot["chat"].id, last_read_seq=0, **plot.here)


@entity
def chat_participant(plot: Plot) -> ChatParticipant:
    return ChatParticipant(chat_id=plot["chat"].id, user_id=plot.owner.user_id, **plot.here)


@entity
def chat_attachment(plot: Plot) -> ChatAttachment:
    return ChatAttachment(
        chat_id=plot["chat"].id,
        crew_id=plot["crew"].id,
        folder=plot["agent"].slug,
        name="chart.png",
        size=7,
        media_type="image/png",
        sha256="0" * 64,
        uploaded_by=plot.owner.user_id,
        **plot.here,
    )


@entity
def message_reaction(plot: Plot) -> MessageReaction:
    return MessageReaction(
        chat_id=plot["chat"].id, message_id=plot["message"].id, emoji=EMOJI, user_id=plot.owner.user_id, **plot.here
    )


@entity
def free_reaction(plot: Plot) -> MessageReaction:
    """Of the owner, who takes it back, to what the client calls a message."""
    return MessageReaction(
        chat_id=plot["chat"].id, message_id="turn-1", emoji=EMOJI, user_id=plot.owner.user_id, **plot.here
    )


FREE = frozenset({"message_id"})  # nothing says that there is one
RECIPES = {
    "chats.participants_add": Recipe({"role": "owner"}),
    "chats.reactions_list": Recipe({"message_id": "turn-1"}, chosen=FREE),
    "chats.reactions_add": Recipe({"message_id": "turn-1", "emoji": "🎉"}, chosen=FREE),
    "chats.reactions_remove": Recipe({"message_id": "turn-1", "emoji": EMOJI}, chosen=FREE),
    "chats.create": Recipe(chosen=frozenset({"session_id"})),
    "chats.stream": Recipe({"idle": 1}, ids={"chat_id": "second_chat"}),
    "chats.delete": Recipe(ids={"chat_id": "second_chat"}),
    "chats.retry_run": Recipe(ids={"id": "run"}),
    "chats.branch": Recipe(ids={"message_id": "message"}),
    "chat_attachments.delete": Recipe(ids={"id": "chat_attachment"}),
    "chats.attachments_delete": Recipe(ids={"attachment_id": "chat_attachment"}),
}
PROSE = frozenset(
    {
        "chat_attachments.delete", "chats.attachments_delete", "chats.branch",
        "chats.cancel", "chats.create", "chats.delete", "chats.mark_read", "chats.participants_add",
        "chats.participants_remove", "chats.reactions_add",
        "chats.reactions_remove", "chats.rename", "chats.retry_run", "chats.send", "chats.steer",
    }
)  # fmt: skip
