"""The services that messages are sent to: what a form asks for, and the address that is made of it.

An address has the form of the library shoutrrr, which other servers of this kind store: the name of the provider as
its scheme, then credentials, host, path and options, percent-encoded.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import quote, quote_plus, urlencode, urlsplit

from models.attention.notification_channels import ChannelProvider
from models.bounds import URL

Fields = Mapping[str, str]
SERVER = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
SLACK = re.compile(r"T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{24}")
NO_FIELDS = "Fill in the fields of the provider, or give an address"
NO_HOST = "The address has no host"
TOO_LONG = f"The address has more than {URL} characters"


class FieldType(StrEnum):
    """The type of a field of a provider, for its form."""

    text = "text"
    url = "url"
    password = "password"


class ServiceCategory(StrEnum):
    """The kind of a provider."""

    chat = "chat"
    push = "push"
    incident = "incident"


class UnusableAddress(ValueError):
    """The text says why, and can be shown."""


@dataclass(frozen=True, slots=True)
class ServiceField:
    """One field of a form. `secret`: it is a credential, or contains one."""

    key: str
    label: str
    type: FieldType = FieldType.text
    required: bool = False
    secret: bool = False
    placeholder: str = ""
    help: str = ""
    help_url: str = ""


@dataclass(frozen=True, slots=True)
class ChatService:
    """`compose` makes the address of the fields, of which those that are required are there."""

    label: str
    blurb: str
    category: ServiceCategory
    fields: tuple[ServiceField, ...]
    compose: Callable[[Fields], str]


def _webhook(fields: Fields) -> tuple[str, str, str]:
    """Host, path and query of a URL."""
    try:
        parts = urlsplit(fields["webhook_url"])
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        good = False
    if not good or any(letter.isspace() for letter in fields["webhook_url"]):
        raise UnusableAddress("The webhook URL has to be http or https with a host")
    return parts.netloc, parts.path, parts.query


def _segments(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def _server(text: str) -> tuple[str, bool]:
    """A host, which may have a port and a path, and whether it was given with http://."""
    scheme, _, rest = text.partition("://") if "://" in text else ("https", "", text)
    host = rest.rstrip("/")
    if scheme.lower() not in ("http", "https") or not SERVER.fullmatch(host):
        raise UnusableAddress("The server has to be a host, which may have a port and a path")
    return host, scheme.lower() == "http"


def _options(**given: str | None) -> str:
    kept = {name: value for name, value in given.items() if value}
    return f"?{urlencode(kept)}" if kept else ""


def _part(text: str) -> str:
    return quote(text, safe="")


def _discord(fields: Fields) -> str:
    _, path, _ = _webhook(fields)
    parts = _segments(path)
    if "webhooks" not in parts[:-2]:
        raise UnusableAddress("The URL is not a Discord webhook: it must contain /webhooks/, an id and a token")
    return f"discord://{_part(parts[-1])}@{_part(parts[-2])}{_options(username=fields.get('bot_name'))}"


def _slack(fields: Fields) -> str:
    _, path, _ = _webhook(fields)
    parts = _segments(path)[-3:]
    if not SLACK.fullmatch("/".join(parts)):
        raise UnusableAddress("This is no incoming webhook of Slack: its URL ends with three tokens")
    return f"slack://hook:{'-'.join(parts)}@webhook{_options(botname=fields.get('bot_name'))}"


def _telegram(fields: Fields) -> str:
    return f"telegram://{quote(fields['bot_token'], safe=':')}@telegram?chats={quote_plus(fields['chat_id'])}"


def _ntfy(fields: Fields) -> str:
    host, plain = _server(fields.get("server") or "ntfy.sh")
    user, password = fields.get("username"), fields.get("password")
    who = _part(user or "") + (f":{_part(password)}" if password else "")
    options = _options(scheme="http" if plain else None)
    return f"ntfy://{f'{who}@' if who else ''}{host}/{_part(fields['topic'])}{options}"


def _gotify(fields: Fields) -> str:
    host, plain = _server(fields["server"])
    return f"gotify://{host}/{_part(fields['app_token'])}{_options(disabletls='yes' if plain else None)}"


def _pushover(fields: Fields) -> str:
    return f"pushover://:{_part(fields['api_token'])}@{_part(fields['user_key'])}"


def _mattermost(fields: Fields) -> str:
    host, plain = _server(fields["server"])
    channel = f"/{_part(fields['channel'])}" if fields.get("channel") else ""
    return f"mattermost://{host}/{_part(fields['token'])}{channel}{_options(disabletls='yes' if plain else None)}"


def _matrix(fields: Fields) -> str:
    host, plain = _server(fields["server"])
    options = _options(rooms=fields.get("rooms"), disabletls="yes" if plain else None)
    return f"matrix://:{_part(fields['access_token'])}@{host}{options}"


def _of_webhook(scheme: str) -> Callable[[Fields], str]:
    def compose(fields: Fields) -> str:
        host, path, query = _webhook(fields)
        return f"{scheme}://{host}{path}{f'?{query}' if query else ''}"

    return compose


def _opsgenie(fields: Fields) -> str:
    host, _ = _server(fields.get("server") or "api.opsgenie.com")
    return f"opsgenie://{host}/{_part(fields['api_key'])}"


def _webhook_url(label: str, placeholder: str, help: str, help_url: str) -> ServiceField:
    return ServiceField("webhook_url", label, FieldType.url, True, True, placeholder, help, help_url)


def _secret(key: str, label: str, help: str, placeholder: str = "", help_url: str = "") -> ServiceField:
    return ServiceField(key, label, FieldType.password, True, True, placeholder, help, help_url)


BOT_NAME = ServiceField("bot_name", "Sender", placeholder="Crewship", help="The name that messages are posted under.")

SERVICES: Final[Mapping[ChannelProvider, ChatService]] = {
    ChannelProvider.discord: ChatService(
        "Discord", "Post to a channel of Discord by a webhook", ServiceCategory.chat,
        (
            _webhook_url(
                "Webhook URL", "https://discord.com/api/webhooks/123/abc",
                "In the settings of the server, open Integrations, then Webhooks, and copy the URL.",
                "https://support.discord.com/hc/en-us/articles/228383668",
            ),
            BOT_NAME,
        ),
        _discord,
    ),
    ChannelProvider.slack: ChatService(
        "Slack", "Post to a channel of Slack by an incoming webhook", ServiceCategory.chat,
        (
            _webhook_url(
                "Incoming webhook URL", "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
                "In your Slack app, add an incoming webhook to the workspace, and copy its URL.",
                "https://api.slack.com/messaging/webhooks",
            ),
            BOT_NAME,
        ),
        _slack,
    ),
    ChannelProvider.telegram: ChatService(
        "Telegram", "Send to a chat, a group or a channel of Telegram", ServiceCategory.chat,
        (
            _secret(
                "bot_token", "Bot token", "Send /newbot to @BotFather, and copy the token.", "123456789:AAExample",
                "https://core.telegram.org/bots/features#botfather",
            ),
            ServiceField(
                "chat_id", "Chat ID", required=True, placeholder="@my-channel or 123456789",
                help="The name of a channel with @, or the number of a chat. First add the bot to it.",
            ),
        ),
        _telegram,
    ),
    ChannelProvider.ntfy: ChatService(
        "ntfy", "Publish to a topic of ntfy.sh, or of a server of your own", ServiceCategory.push,
        (
            ServiceField(
                "topic", "Topic", required=True, placeholder="crewship-alerts",
                help="Anyone who knows the name of a public topic reads it: choose one that is hard to guess.",
                help_url="https://docs.ntfy.sh/publish/",
            ),
            ServiceField("server", "Server", placeholder="ntfy.sh", help="Only for a server of your own."),
            ServiceField("username", "Username", help="Only if the topic requires it."),
            ServiceField("password", "Password", FieldType.password, secret=True, help="Only with a username."),
        ),
        _ntfy,
    ),
    ChannelProvider.gotify: ChatService(
        "Gotify", "Push to a Gotify server", ServiceCategory.push,
        (
            ServiceField("server", "Server", required=True, placeholder="gotify.example.com", help="Host, and port."),
            _secret(
                "app_token", "Application token", "In Gotify, create an application, and copy its token.",
                help_url="https://gotify.net/docs/pushmsg",
            ),
        ),
        _gotify,
    ),
    ChannelProvider.pushover: ChatService(
        "Pushover", "Push to a phone by Pushover", ServiceCategory.push,
        (
            ServiceField(
                "user_key", "User key", required=True, secret=True, help="On your dashboard.",
                help_url="https://pushover.net/",
            ),
            _secret(
                "api_token", "Application token", "Create an application, and copy its token.",
                help_url="https://pushover.net/apps/build",
            ),
        ),
        _pushover,
    ),
    ChannelProvider.mattermost: ChatService(
        "Mattermost", "Post to a channel of Mattermost by a webhook", ServiceCategory.chat,
        (
            ServiceField("server", "Server", required=True, placeholder="chat.example.com", help="Host, and port."),
            _secret(
                "token", "Webhook token", "Add an incoming webhook: the token is the last part of its URL.",
                help_url="https://developers.mattermost.com/integrate/webhooks/incoming/",
            ),
            ServiceField("channel", "Channel", placeholder="town-square", help="Instead of that of the webhook."),
        ),
        _mattermost,
    ),
    ChannelProvider.matrix: ChatService(
        "Matrix", "Send to rooms of Matrix", ServiceCategory.chat,
        (
            ServiceField("server", "Homeserver", required=True, placeholder="matrix.org", help="Host, and port."),
            _secret(
                "access_token", "Access token", "Of an account that is in the rooms. It opens the whole account.",
                help_url="https://spec.matrix.org/latest/client-server-api/#client-authentication",
            ),
            ServiceField(
                "rooms", "Rooms", placeholder="#alerts:matrix.org",
                help="Separated by commas; without any, all rooms that the account is in.",
            ),
        ),
        _matrix,
    ),
    ChannelProvider.teams: ChatService(
        "Microsoft Teams", "Post to a channel of Teams by a workflow", ServiceCategory.chat,
        (
            _webhook_url(
                "Workflow URL", "https://prod-00.westeurope.logic.azure.com:443/workflows/...",
                "In the channel, open Workflows, choose to post when a webhook request is received, and copy the URL.",
                "https://support.microsoft.com/en-us/office/create-incoming-webhooks-with-workflows-for-microsoft-teams"
                "-8ae491c7-0394-4861-ba59-055e33f75498",
            ),
        ),
        _of_webhook("teams"),
    ),
    ChannelProvider.googlechat: ChatService(
        "Google Chat", "Post to a space of Google Chat by a webhook", ServiceCategory.chat,
        (
            _webhook_url(
                "Webhook URL", "https://chat.googleapis.com/v1/spaces/AAA/messages?key=...&token=...",
                "In the space, open Apps & integrations, add a webhook, and copy its URL.",
                "https://developers.google.com/chat/how-tos/webhooks",
            ),
        ),
        _of_webhook("googlechat"),
    ),
    ChannelProvider.opsgenie: ChatService(
        "Opsgenie", "Raise an alert of Opsgenie", ServiceCategory.incident,
        (
            _secret(
                "api_key", "API key", "Add an API integration to a team, and copy its key.",
                help_url="https://support.atlassian.com/opsgenie/docs/create-a-default-api-integration/",
            ),
            ServiceField(
                "server", "API host", placeholder="api.opsgenie.com", help="api.eu.opsgenie.com for accounts in the EU."
            ),
        ),
        _opsgenie,
    ),
}  # fmt: skip
"""All providers, in the order in which they are offered."""

HINTS: Final[Mapping[ServiceCategory, tuple[str, str]]] = {
    ServiceCategory.chat: ("Chat", "A message in a room, for all who are in it"),
    ServiceCategory.push: ("Push", "A notification on a device, for one person"),
    ServiceCategory.incident: ("Incident", "An alert to the people on call, until one of them takes it"),
}


def address_of(provider: ChannelProvider, fields: Fields, raw: str) -> str:
    """The address of the fields or, without any, the given one. Raises UnusableAddress."""
    given = {key.strip(): value.strip() for key, value in fields.items() if value.strip()}
    service = SERVICES[provider]
    if given:
        missing = [field.label for field in service.fields if field.required and field.key not in given]
        if missing:
            raise UnusableAddress(f"{service.label} needs {', '.join(missing)}")
        address = service.compose(given)
    else:
        address = _raw(provider, raw.strip())
    if len(address) > URL:
        raise UnusableAddress(TOO_LONG)
    return address


def _raw(provider: ChannelProvider, address: str) -> str:
    if not address:
        raise UnusableAddress(NO_FIELDS)
    scheme, _, rest = address.partition("://")
    if scheme.lower() != provider.value:
        raise UnusableAddress(f"The address has to begin with {provider.value}://")
    if not re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]:
        raise UnusableAddress(NO_HOST)
    return address
