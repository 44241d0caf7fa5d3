"""Providers: what they ask for, and which of them a workspace uses."""

from typing import Annotated

from sqlmodel import col

from models.attention.notification_channels import ChannelProvider, NotificationProviderSwitch
from resolvers.attention.notification_channels.providers import HINTS, SERVICES, ChatService, FieldType, ServiceCategory
from resolvers.kernel import (
    Absent,
    Action,
    Bool,
    Code,
    Context,
    Event,
    Input,
    NoInput,
    Output,
    Refusal,
    Text,
    command,
    procedure,
)
from resolvers.kernel.declarations.row_events import OF_MEMBERS

OFF = "This workspace does not use this provider"
UNKNOWN = "Provider not found"


class ProviderField(Output):
    """A field of the form for a new channel."""

    key: str
    label: str
    type: FieldType
    required: bool
    secret: Annotated[bool | None, Absent()] = None
    placeholder: Annotated[str | None, Absent()] = None
    help: Annotated[str | None, Absent()] = None
    help_url: Annotated[str | None, Absent()] = None


class NotificationProvider(Output):
    """A service that messages can be sent to. `enabled`: the workspace uses it."""

    provider: ChannelProvider
    scheme: ChannelProvider
    label: str
    blurb: str
    category: ServiceCategory
    fields: list[ProviderField]
    enabled: bool


class ProviderCategory(Output):
    """A kind of providers."""

    key: ServiceCategory
    label: str
    hint: str


class NotificationProviders(Output):
    """The providers, in the order in which they are offered, and their kinds."""

    providers: list[NotificationProvider]
    categories: list[ProviderCategory]


class OfProvider(Input):
    """`provider` is the exact name."""

    provider: Text


class SwitchProvider(OfProvider):
    """`provider` is the exact name."""

    enabled: Bool = False


class ProviderSwitched(Output):
    """The provider, and whether the workspace uses it."""

    provider: ChannelProvider
    enabled: bool


class NotificationProviderUpdated(Event, type="notification_provider.updated", channel=OF_MEMBERS):
    """The workspace uses a provider from now on, or no longer."""

    provider: str
    enabled: bool


async def is_off(ctx: Context, provider: ChannelProvider | None) -> bool:
    """Returns true if the workspace has switched the provider off."""
    if provider is None:
        return False
    off = (col(NotificationProviderSwitch.provider) == provider, col(NotificationProviderSwitch.enabled).is_(False))
    return await ctx.select(NotificationProviderSwitch, *off).exists()


def _shown(provider: ChannelProvider, service: ChatService, enabled: bool) -> NotificationProvider:
    fields = [
        ProviderField(
            key=field.key,
            label=field.label,
            type=field.type,
            required=field.required,
            secret=field.secret or None,
            placeholder=field.placeholder or None,
            help=field.help or None,
            help_url=field.help_url or None,
        )
        for field in service.fields
    ]
    return NotificationProvider(
        provider=provider,
        scheme=provider,
        label=service.label,
        blurb=service.blurb,
        category=service.category,
        fields=fields,
        enabled=enabled,
    )


@procedure("notification_providers.list", Action.READ, tickets=False)
async def list_providers(ctx: Context, data: NoInput) -> NotificationProviders:
    """List notification providers.

    Lists the services that channels can send to, and the fields of their forms.
    """
    off = col(NotificationProviderSwitch.enabled).is_(False)
    unused = {switch.provider for switch in await ctx.select(NotificationProviderSwitch, off).all()}
    return NotificationProviders(
        providers=[_shown(provider, service, provider not in unused) for provider, service in SERVICES.items()],
        categories=[ProviderCategory(key=key, label=label, hint=hint) for key, (label, hint) in HINTS.items()],
    )


async def is_known(ctx: Context, data: OfProvider) -> None:
    """An unknown provider is reported before the rest of the body."""
    if data.provider not in [*ChannelProvider]:
        raise Refusal(Code.NOT_FOUND, UNKNOWN)


@command(
    "notification_providers.update",
    Action.MANAGE,
    audit="notification_provider.updated",
    emits=NotificationProviderUpdated,
    allow=is_known,
    errors=(Code.NOT_FOUND,),
)
async def switch_provider(ctx: Context, data: SwitchProvider) -> ProviderSwitched:
    """Update a notification provider of the workspace.

    Switches it on or off. While it is off, no channel can be created with it, and nothing is sent to its channels,
    which stay. `enabled` is false if it is absent.
    """
    provider = ChannelProvider(data.provider)
    await ctx.upsert(NotificationProviderSwitch(provider=provider, enabled=data.enabled), "workspace_id", "provider")
    ctx.audit("NOTIFICATION_PROVIDER", provider.value, enabled=data.enabled)
    ctx.emit(NotificationProviderUpdated(provider=provider.value, enabled=data.enabled))
    return ProviderSwitched(provider=provider, enabled=data.enabled)
