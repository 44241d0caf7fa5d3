"""Choices of a member: channels for each category of notifications, quiet hours and digests."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError
from sqlmodel import col

from models.attention.inbox import InboxPriority
from models.attention.notification_channels import NotificationCategory, NotificationChannel
from models.attention.notification_deliveries import (
    EVERY,
    NotificationPreference,
    NotificationSchedule,
    PreferenceState,
)
from resolvers.kernel import (
    TRIMMED,
    Absent,
    Action,
    Context,
    Id,
    Input,
    Int,
    NoInput,
    Output,
    Text,
    at_most,
    command,
    graph,
    invalid,
    procedure,
)
from resolvers.rules.time_zones import time_zone

MOST_CELLS = 200
LONGEST_DIGEST = 7 * 24 * 60  # minutes
CATEGORIES = frozenset({EVERY, *[category.value for category in NotificationCategory]})
TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
NO_CHANNEL = "there is no such channel for you"

for _own in (NotificationPreference, NotificationSchedule):
    graph(_own, gate=Action.SELF, scope=None, visible=lambda row, scope: row.user_id == scope.user_id)


def _category(text: str) -> str:
    if text not in CATEGORIES:
        raise PydanticCustomError("category", "has to be a category, or *")
    return text


def _time(text: str) -> str:
    if not TIME.fullmatch(text):
        raise PydanticCustomError("time", "has to be a time of day, such as 22:00")
    return text


def _zone(text: str) -> str:
    if time_zone(text) is None:
        raise PydanticCustomError("time_zone", "has to be the name of a time zone, such as Europe/Prague")
    return text


TimeOfDay = Annotated[Text, AfterValidator(_time)]


class PreferenceCell(Input):
    """`category` is `*` for a cell of the channel itself: with the state `immediate` it mutes the channel, with `off`
    it does not.
    """

    category: Annotated[Text, AfterValidator(_category)]
    channel_id: Annotated[Id, Field(min_length=1)]
    state: PreferenceState


class SetNotificationPreferences(Input):
    """Cells that are not named stay as they are."""

    cells: Annotated[list[PreferenceCell], Field(min_length=1), at_most(MOST_CELLS)]


class StoredCell(Output):
    """A choice. A category without one is not sent."""

    category: str
    channel_id: str
    state: PreferenceState


class NotificationPreferences(Output):
    """The choices of the caller, by channel and category."""

    cells: list[StoredCell]


class PreferencesStored(Output):
    """The choices were stored."""

    ok: bool = True


class SetNotificationSchedule(Input):
    """`quiet_from` and `quiet_until` are times of day in `time_zone`, and belong together; without them there are no
    quiet hours. Notifications of the priority `through` and above are sent at any time. With `digest_minutes`, others
    are collected for so long and sent as one message.
    """

    time_zone: Annotated[Text, TRIMMED, AfterValidator(_zone)] = "UTC"
    quiet_from: TimeOfDay | None = None
    quiet_until: TimeOfDay | None = None
    through: InboxPriority = InboxPriority.urgent
    digest_minutes: Annotated[Int, Field(ge=1, le=LONGEST_DIGEST)] | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> "SetNotificationSchedule":
        if (self.quiet_from is None) is not (self.quiet_until is None):
            raise PydanticCustomError("quiet", "quiet_from and quiet_until belong together")
        return self


class MemberSchedule(Output):
    """When the caller's own channels receive notifications."""

    time_zone: str = "UTC"
    quiet_from: Annotated[str | None, Absent()] = None
    quiet_until: Annotated[str | None, Absent()] = None
    through: InboxPriority = InboxPriority.urgent
    digest_minutes: Annotated[int | None, Absent()] = None


@procedure("me.notification_prefs_get", Action.SELF, tickets=False)
async def get_preferences(ctx: Context, data: NoInput) -> NotificationPreferences:
    """Get the notification preferences of the caller.

    Lists the choices by channel and category. Everything else is not sent.
    """
    own = ctx.select(NotificationPreference, col(NotificationPreference.user_id) == ctx.user_id)
    rows = await own.order_by(col(NotificationPreference.channel_id), col(NotificationPreference.category)).all()
    return NotificationPreferences(
        cells=[StoredCell(category=row.category, channel_id=row.channel_id, state=row.state) for row in rows]
    )


@command("me.notification_prefs_set", Action.SELF)
async def set_preferences(ctx: Context, data: SetNotificationPreferences) -> PreferencesStored:
    """Set notification preferences of the caller.

    Merges the cells into the stored ones, all or none. A channel belongs to the workspace or to the caller.
    """
    cells = {(cell.channel_id, cell.category): cell.state for cell in data.cells}
    ids = sorted({channel_id for channel_id, _ in cells})
    known = await ctx.select(NotificationChannel, col(NotificationChannel.id).in_(ids)).all()
    if len([channel for channel in known if channel.owner_user_id in (None, ctx.user_id)]) < len(ids):
        raise invalid("cells", NO_CHANNEL)
    for (channel_id, category), state in sorted(cells.items()):
        cell = NotificationPreference(user_id=ctx.user_id, channel_id=channel_id, category=category, state=state)
        await ctx.upsert(cell, "workspace_id", "user_id", "channel_id", "category")
    return PreferencesStored()


@procedure("me.notification_schedule_get", Action.SELF, tickets=False)
async def get_schedule(ctx: Context, data: NoInput) -> MemberSchedule:
    """Get the quiet hours and digests of the caller.

    They hold for the caller's own channels in this workspace.
    """
    row = await ctx.select(NotificationSchedule, col(NotificationSchedule.user_id) == ctx.user_id).first()
    return MemberSchedule() if row is None else _shown(row)


@command("me.notification_schedule_set", Action.SELF)
async def set_schedule(ctx: Context, data: SetNotificationSchedule) -> MemberSchedule:
    """Set the quiet hours and digests of the caller.

    Replaces all of them, for the caller's own channels in this workspace. Waiting notifications keep the time that
    was chosen before.
    """
    given: dict[str, Any] = data.model_dump(include={"time_zone", "through", "digest_minutes"})
    row = NotificationSchedule(
        user_id=ctx.user_id, quiet_from=_minutes(data.quiet_from), quiet_until=_minutes(data.quiet_until), **given
    )
    return _shown(await ctx.upsert(row, "workspace_id", "user_id"))


def _minutes(time: str | None) -> int | None:
    return None if time is None else int(time[:2]) * 60 + int(time[3:])


def _clock(minutes: int | None) -> str | None:
    return None if minutes is None else f"{minutes // 60:02}:{minutes % 60:02}"


def _shown(row: NotificationSchedule) -> MemberSchedule:
    return MemberSchedule(
        time_zone=row.time_zone,
        quiet_from=_clock(row.quiet_from),
        quiet_until=_clock(row.quiet_until),
        through=row.through,
        digest_minutes=row.digest_minutes,
    )
