"""Sends questions to the channels of the workspace, with a decision link if one is possible."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from sqlmodel import col

from models.attention.inbox import InboxItem, InboxKind, InboxState, inbox_item_id
from models.attention.notification_channels import ChannelEvent, ChannelType, NotificationChannel
from models.bounds import ID, LINE
from models.oversight.decision_links import DecisionLink
from models.people.auth import User, is_person, is_service_account
from models.people.workspaces import Membership, Workspace
from resolvers.attention.notification_channels.delivery import OfEvent
from resolvers.attention.notification_channels.sending import SUBSCRIBED, channels_of, preview_of
from resolvers.attention.notification_channels.switches import is_off
from resolvers.instance.crypto import digest
from resolvers.instance.ports import in_a_line
from resolvers.kernel import AcrossWorkspaces, Context, Id, Input, clock, instance, job
from resolvers.kernel.background.followers import follow, news
from resolvers.oversight.decision_links.questions import KINDS, LinkQuestion, name_of_agent, question_of

LIFE = timedelta(days=3)
"""The validity of a link to an item without a deadline."""
ASKING = tuple(inbox_item_id(kind, "") for kind in (InboxKind.waitpoint, InboxKind.escalation))
SECURE = "https://"
SUBJECT = "Decision needed: {title}"
WITH_LINK = """\
Open this link by {until} UTC to decide. It works once, and decides in the name of {name}:

{link}
"""
WITHOUT_LINK = "Sign in to decide: {place}\n"


class OfItem(Input):
    channel_id: Id
    item_id: Id


ASK = job("decision_links.ask", OfItem, unique="{channel_id}:{item_id}", attempts=3)
"""Sends one item that waits for a decision to one channel."""
FOLLOW = clock("decision_links.follow", every=timedelta(seconds=1), when=news("decision_links"))
"""Items that ask for a decision are looked for in the outbox."""


class FoundQuestion(NamedTuple):
    """`question` is the question that a link could decide."""

    channel: NotificationChannel
    item: InboxItem
    question: LinkQuestion | None


@dataclass(frozen=True, slots=True)
class DecisionAsked(OfEvent):
    """The content of the message. `link` and `expires_at` are empty if a link cannot make the decision."""

    event: str
    item_id: str
    kind: str
    title: str
    preview: str
    asked_by: str
    workspace: str
    decides_as: str = ""
    link: str = ""
    expires_at: str = ""

    @property
    def subject(self) -> str:
        return SUBJECT.format(title=in_a_line(self.title, LINE))

    @property
    def text(self) -> str:
        title, asked_by, workspace = (in_a_line(text, LINE) for text in (self.title, self.asked_by, self.workspace))
        by = f"Asked by {asked_by}, in {workspace}." if asked_by else f"Asked in {workspace}."
        said = "\n".join(f"> {line}" for line in self.preview.splitlines())
        place = instance.settings.public_url or ""
        last = WITHOUT_LINK.format(place=place) if place else ""
        if self.link:
            last = WITH_LINK.format(until=self.expires_at, name=in_a_line(self.decides_as, LINE), link=self.link)
        return "\n\n".join(part for part in (title, said, by, last) if part)


async def enqueue_questions(rows: AcrossWorkspaces) -> bool:
    """Enqueues a job for each channel that receives the question. Returns whether there may be more."""
    told, more = await follow(rows, "decision_links", NotificationChannel, SUBSCRIBED, ["inbox.updated"])
    asking = [event for event in told if _asks(event["payload"])]
    channels = await channels_of(rows, asking) if asking else []
    for event in asking:
        for channel in channels:
            if channel["workspace_id"] == event["workspace_id"] and ChannelEvent.asked in channel["events"]:
                rows.enqueue(ASK, event["workspace_id"], channel_id=channel["id"], item_id=event["payload"]["id"])
    return more


def _asks(payload: dict[str, Any]) -> bool:
    id = payload.get("id", "")
    return payload.get("state") == InboxState.unread and id.startswith(ASKING) and len(id) <= ID


async def make_link(ctx: Context, data: OfItem) -> None:
    """Creates a link if the channel may get one and there is a member in whose name it decides."""
    found = await _asked(ctx, data)
    if found is None or (question := found.question) is None or not _carries_links(found.channel):
        return
    user = await _decider(ctx, found.channel, question) if question.outcome is None else None
    if user is None:
        return
    made = DecisionLink(
        channel_id=found.channel.id,
        kind=question.kind,
        subject_id=question.subject_id,
        source_id=question.source_id,
        user_id=user.id,
        token_hash="",
        expires_at=question.until or await ctx.now() + LIFE,
    )
    made.token_hash = digest(instance.signer.decision_token(made.id))
    await ctx.insert(made)


async def letter_of(ctx: Context, data: OfItem) -> tuple[NotificationChannel, DecisionAsked] | None:
    """The message for the channel; None if the channel is gone or the item is decided. A repeated message is the same,
    with the same link, because the token follows from its id.
    """
    found = await _asked(ctx, data)
    if found is None:
        return None
    channel, item, question = found
    told = {
        "event": ChannelEvent.asked.value,
        "item_id": item.id,
        "kind": item.kind.value,
        "title": preview_of(item.title),
        "preview": preview_of(item.body_md or ""),
        "asked_by": (question and await name_of_agent(ctx, question)) or item.sender_name or "",
        "workspace": (await ctx.get(Workspace, item.workspace_id)).name,
    }
    same = (col(DecisionLink.channel_id) == channel.id, col(DecisionLink.source_id) == item.source_id)
    link = await ctx.select(DecisionLink, *same).first()
    if link is None:
        return channel, DecisionAsked(**told)
    user = await ctx.get(User, link.user_id)
    token = instance.signer.decision_token(link.id)
    return channel, DecisionAsked(
        **told,
        decides_as=user.full_name or user.email,
        link=f"{instance.settings.public_url}/decision#token={token}",
        expires_at=f"{link.expires_at:%Y-%m-%d %H:%M}",
    )


async def _asked(ctx: Context, data: OfItem) -> FoundQuestion | None:
    live = (col(NotificationChannel.id) == data.channel_id, *SUBSCRIBED)
    channel = await ctx.select(NotificationChannel, *live).first()
    item = await ctx.select(InboxItem, col(InboxItem.id) == data.item_id, including_hidden=True).first()
    if channel is None or item is None or item.state is InboxState.resolved:
        return None
    if await is_off(ctx, channel.provider):
        return None
    return FoundQuestion(channel, item, await question_of(ctx, item))


def _carries_links(channel: NotificationChannel) -> bool:
    """A link is as good as a signature: it is not sent where others read along."""
    if instance.settings.public_url is None:
        return False
    if channel.type is ChannelType.email:
        return True
    return channel.type is ChannelType.webhook and _is_secure(channel)


def _is_secure(channel: NotificationChannel) -> bool:
    if instance.settings.hooks_allow_private:
        return True
    return (channel.url or "").lower().startswith(SECURE)


async def _decider(ctx: Context, channel: NotificationChannel, question: LinkQuestion) -> User | None:
    """The member in whose name a link of the channel decides: the owner of its address, otherwise the creator of the
    channel. None if this member may not decide.
    """
    known = [channel.created_by] if channel.created_by else []
    if channel.type is ChannelType.email:
        same = ctx.select(User, col(User.email) == channel.address, is_person(col(User.id)))
        known = [user.id for user in await same.all()] or known
    for id in known:
        member = await ctx.select(Membership, col(Membership.user_id) == id).first()
        if member is not None and member.role in KINDS[question.kind].operation.roles and not is_service_account(id):
            return await ctx.get(User, id)
    return None
