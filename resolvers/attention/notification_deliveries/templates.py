"""The wording of messages: texts of a workspace in which facts of the source are filled in."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from sqlmodel import col

from models import bounds
from models.attention.notification_channels import NotificationCategory, NotificationChannel
from models.attention.notification_deliveries import TITLE, NotificationTemplate
from resolvers.kernel import (
    EVERYONE,
    Absent,
    Action,
    Code,
    Context,
    Event,
    Id,
    Input,
    NoInput,
    Output,
    Refusal,
    Text,
    command,
    graph,
    invalid,
    procedure,
)

MOST_TEMPLATES = 1_000
REFERENCE = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
KNOWN = re.compile(r"source\.(title|body|category|kind)|vars\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)?")
CATEGORIES = frozenset(category.value for category in NotificationCategory)
NO_CATEGORY, NO_CHANNEL = "category is required", "there is no such channel"
FULL = f"The workspace already has {MOST_TEMPLATES} templates, the maximum"

graph(NotificationTemplate, gate=Action.MANAGE, scope="workspace:read", visible=EVERYONE)


def _checked(text: str) -> str:
    for found in REFERENCE.finditer(text):
        if not KNOWN.fullmatch(found[1]):
            raise PydanticCustomError("reference", "there is no {name}", {"name": found[1][:50]})
    return text


def _category(text: str) -> str:
    if text not in CATEGORIES:
        raise PydanticCustomError("category", "has to be a category, such as issues.created")
    return text


class DeleteNotificationTemplate(Input):
    """A template of a category; without a channel, for every channel."""

    category: Text = ""
    channel_id: Id = ""


class SetNotificationTemplate(Input):
    """`title` and `body` may contain `{{ source.title }}`, `{{ source.body }}`, `{{ source.category }}`,
    `{{ source.kind }}`, and `{{ vars.<fact> }}` or `{{ vars.<fact>.<key> }}` for facts of the source. An unknown fact
    is empty. A title or body that ends up blank stays as it was.
    """

    category: Annotated[Text, AfterValidator(_category)]
    channel_id: Id = ""
    title: Annotated[str, Field(strict=True, max_length=TITLE), AfterValidator(_checked)] = ""
    body: Annotated[str, Field(strict=True, max_length=bounds.DESCRIPTION), AfterValidator(_checked)] = ""


class MessageTemplate(Output):
    """Without `channel_id` it holds for every channel."""

    category: str
    channel_id: Annotated[str | None, Absent()] = None
    title: str
    body: str


class MessageTemplates(Output):
    """The templates of the workspace, by category and channel."""

    templates: list[MessageTemplate]


class TemplateRemoved(Output):
    """The category has no template of this channel any more."""

    category: str


@procedure("notification_templates.list", Action.MANAGE, tickets=False)
async def list_templates(ctx: Context, data: NoInput) -> MessageTemplates:
    """List notification templates.

    Sorted by category and channel; templates for every channel come first.
    """
    order = (col(NotificationTemplate.category), col(NotificationTemplate.channel_id))
    rows = await ctx.select(NotificationTemplate).order_by(*order).all()
    return MessageTemplates(templates=[_shown(row) for row in rows])


def _shown(row: NotificationTemplate) -> MessageTemplate:
    return MessageTemplate(category=row.category, channel_id=row.channel_id or None, title=row.title, body=row.body)


class NotificationTemplateChanged(
    Event, type="notification_template.updated", channel="workspace:{workspace_id}#manage"
):
    """The wording of a category was set or removed."""

    category: str


@command(
    "notification_templates.set",
    Action.MANAGE,
    audit="notification_template.set",
    emits=NotificationTemplateChanged,
    errors=(Code.CONFLICT,),
)
async def set_template(ctx: Context, data: SetNotificationTemplate) -> MessageTemplate:
    """Set a notification template.

    Replaces the template of the category and the channel. A blank title and body remove it.
    """
    if not await _is_seen(ctx, data.channel_id):
        raise invalid("channel_id", NO_CHANNEL)
    ctx.audit("NOTIFICATION_TEMPLATE", f"{data.category}:{data.channel_id}", category=data.category)
    ctx.emit(NotificationTemplateChanged(category=data.category))
    row = NotificationTemplate(**data.model_dump(mode="json"))
    if not data.title.strip() and not data.body.strip():
        await ctx.delete_where(NotificationTemplate, *_same(data.category, data.channel_id))
    elif await ctx.select(NotificationTemplate).count() >= MOST_TEMPLATES:
        raise Refusal(Code.CONFLICT, FULL)
    else:
        row = await ctx.upsert(row, "workspace_id", "category", "channel_id")
    return _shown(row)


@command(
    "notification_templates.delete",
    Action.MANAGE,
    audit="notification_template.removed",
    emits=NotificationTemplateChanged,
)
async def delete_template(ctx: Context, data: DeleteNotificationTemplate) -> TemplateRemoved:
    """Delete a notification template.

    Idempotent. Records nothing if there is no such template.
    """
    if not data.category:
        raise invalid("category", NO_CATEGORY)
    is_seen = await _is_seen(ctx, data.channel_id, including_deleted=True)
    if is_seen and await ctx.delete_where(NotificationTemplate, *_same(data.category, data.channel_id)):
        ctx.audit("NOTIFICATION_TEMPLATE", f"{data.category}:{data.channel_id}", category=data.category)
        ctx.emit(NotificationTemplateChanged(category=data.category))
    return TemplateRemoved(category=data.category)


async def _is_seen(ctx: Context, channel_id: str, *, including_deleted: bool = False) -> bool:
    """Returns true for every channel, and for one that the caller can see."""
    channel = col(NotificationChannel.id) == channel_id
    seen = ctx.select(NotificationChannel, channel, including_deleted=including_deleted)
    return not channel_id or await seen.exists()


def _same(category: str, channel_id: str) -> tuple[Any, ...]:
    return col(NotificationTemplate.category) == category, col(NotificationTemplate.channel_id) == channel_id


def worded(text: str, otherwise: str, facts: dict[str, Any]) -> str:
    """A text with its references filled in; `otherwise` if it is blank."""
    made = REFERENCE.sub(lambda found: _fact(facts, found[1]), text)
    return made if made.strip() else otherwise


def _fact(facts: dict[str, Any], reference: str) -> str:
    value: Any = facts
    for name in reference.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return "" if value is None or isinstance(value, (dict, list)) else str(value)
