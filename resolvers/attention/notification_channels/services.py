"""Messages to services of others. The library apprise knows their interfaces; what it sends goes through `Outbound`.

Its plugins build and send a request in one function, by the module `requests`. In place of that module they are given a
session of `guarded_requests`, so each address is checked like that of a webhook, a redirect is an error, and a thread
waits for the event loop alone. Only the plugins below are loaded, when the first message is sent. Two services are
called without it: its plugin of Teams accepts few forms of URLs, and that of Opsgenie two hosts.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import orjson

from models.attention.notification_channels import ChannelProvider
from resolvers.instance.guarded_requests import calling, session_type
from resolvers.instance.outbound import Outbound

NOT_INSTALLED = "Messages to this service need the package apprise: pip install 'crewship[notifications]'"
UNREADABLE = "The address of the service is not usable"
NOT_TAKEN = "The service did not accept the message"
PLUGINS: Final = {
    ChannelProvider.discord: ("apprise.plugins.discord", "NotifyDiscord"),
    ChannelProvider.slack: ("apprise.plugins.slack", "NotifySlack"),
    ChannelProvider.telegram: ("apprise.plugins.telegram", "NotifyTelegram"),
    ChannelProvider.ntfy: ("apprise.plugins.ntfy", "NotifyNtfy"),
    ChannelProvider.gotify: ("apprise.plugins.gotify", "NotifyGotify"),
    ChannelProvider.pushover: ("apprise.plugins.pushover", "NotifyPushover"),
    ChannelProvider.mattermost: ("apprise.plugins.mattermost", "NotifyMattermost"),
    ChannelProvider.matrix: ("apprise.plugins.matrix.base", "NotifyMatrix"),
    ChannelProvider.googlechat: ("apprise.plugins.google_chat", "NotifyGoogleChat"),
}
OK: Final = 200
GOOGLE: Final = "chat.googleapis.com"
LONGEST_ALERT, LONGEST_DESCRIPTION = 130, 15_000  # characters
CARD: Final = "http://adaptivecards.io/schemas/adaptive-card.json"


class Unusable(Exception):
    """Another attempt is in vain. The text names no part of the address."""


@dataclass(frozen=True, slots=True)
class AddressParts:
    """The parts of a service's address, decoded."""

    user: str
    password: str
    host: str
    port: int | None
    path: list[str]
    query: str
    options: dict[str, str]

    @property
    def server(self) -> dict[str, Any]:
        """The arguments of plugins that call a server of their own; options ask for http."""
        plain = self.options.get("scheme") == "http" or self.options.get("disabletls") in ("yes", "true", "1")
        return {"host": self.host, "port": self.port, "secure": not plain}


def parts_of(address: str) -> AddressParts:
    """Raises Unusable."""
    try:
        split = urlsplit(address)
        who, _, place = split.netloc.rpartition("@")
        user, _, password = who.partition(":")
        host = place.rpartition(":")[0] if split.port is not None else place
        options = {name.lower(): value for name, value in parse_qsl(split.query)}
        path = [unquote(part) for part in split.path.split("/") if part]
        return AddressParts(unquote(user), unquote(password), host, split.port, path, split.query, options)
    except ValueError:
        raise Unusable(UNREADABLE) from None


def _folder(path: list[str]) -> str:
    """The path of a server that is not at the root of its host."""
    return f"/{'/'.join(path)}/" if path else "/"


def _discord(parts: AddressParts) -> dict[str, Any]:
    user = quote(parts.options.get("username", ""), safe="") or None
    return {"webhook_id": parts.host, "webhook_token": parts.user, "avatar": False, "user": user}


def _slack(parts: AddressParts) -> dict[str, Any]:
    first, second, third = parts.password.split("-")
    user = quote(parts.options.get("botname", ""), safe="") or None
    return {"token_a": first, "token_b": second, "token_c": third, "include_image": False, "user": user}


def _telegram(parts: AddressParts) -> dict[str, Any]:
    token = f"{parts.user}:{parts.password}" if parts.password else parts.user
    return {"bot_token": token, "targets": parts.options["chats"].split(","), "include_image": False}


def _ntfy(parts: AddressParts) -> dict[str, Any]:
    who = {"user": quote(parts.user, safe="") or None, "password": quote(parts.password, safe="") or None}
    return {"targets": [parts.path[-1]], "mode": "private", "include_image": False, **who, **parts.server}


def _gotify(parts: AddressParts) -> dict[str, Any]:
    return {"token": parts.path[-1], "fullpath": _folder(parts.path[:-1]), **parts.server}


def _pushover(parts: AddressParts) -> dict[str, Any]:
    return {"user_key": parts.host, "token": parts.password}


def _mattermost(parts: AddressParts) -> dict[str, Any]:
    token, *channel = parts.path
    return {"token": token, "channels": channel or None, "include_image": False, **parts.server}


def _matrix(parts: AddressParts) -> dict[str, Any]:
    rooms = [room.strip() for room in parts.options.get("rooms", "").split(",") if room.strip()]
    token = quote(parts.password, safe="")
    return {"password": token, "targets": rooms, "e2ee": False, "include_image": False, **parts.server}


def _googlechat(parts: AddressParts) -> dict[str, Any]:
    if parts.host != GOOGLE:
        raise Unusable(UNREADABLE)
    key, token = parts.options["key"], parts.options["token"]
    return {"workspace": parts.path[2], "webhook_key": key, "webhook_token": token}


ARGUMENTS: Final[dict[ChannelProvider, Callable[[AddressParts], dict[str, Any]]]] = {
    ChannelProvider.discord: _discord,
    ChannelProvider.slack: _slack,
    ChannelProvider.telegram: _telegram,
    ChannelProvider.ntfy: _ntfy,
    ChannelProvider.gotify: _gotify,
    ChannelProvider.pushover: _pushover,
    ChannelProvider.mattermost: _mattermost,
    ChannelProvider.matrix: _matrix,
    ChannelProvider.googlechat: _googlechat,
}


@cache
def _plugin(provider: ChannelProvider) -> tuple[Any, Any]:
    """The class of a plugin, whose requests go through `Outbound` from now on, and the name that it presents."""
    place, name = PLUGINS[provider]
    try:
        from apprise.asset import AppriseAsset

        module = import_module(place)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] in ("apprise", "requests"):
            raise Unusable(NOT_INSTALLED) from None
        raise
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it writes down what it sends
    vars(module)["requests"] = session_type()()
    return getattr(module, name), AppriseAsset(app_id="Crewship", app_desc="Crewship", secure_logging=True)


def _notify(provider: ChannelProvider, parts: AddressParts, heading: str, text: str) -> bool:
    """In a thread."""
    kind, asset = _plugin(provider)
    try:
        plugin = kind(asset=asset, **ARGUMENTS[provider](parts))
    except (TypeError, ValueError, KeyError, IndexError):
        raise Unusable(UNREADABLE) from None
    plugin.request_rate_per_sec = 0
    return bool(plugin.notify(body=text, title=heading))


@cache
def is_installed() -> bool:
    return find_spec("apprise") is not None


def can_send(provider: ChannelProvider | None) -> bool:
    """Returns true if this server has what it needs for the provider."""
    return provider not in PLUGINS or is_installed()


async def post(http: Outbound, provider: ChannelProvider | None, address: str, heading: str, text: str) -> int:
    """Sends one message; returns the status of the last answer. Raises Unusable or Refusal."""
    if provider is None:
        raise Unusable(UNREADABLE)
    parts = parts_of(address)
    if provider is ChannelProvider.teams:
        return await _to_teams(http, parts, heading, text)
    if provider is ChannelProvider.opsgenie:
        return await _to_opsgenie(http, parts, heading, text)
    done, status = await calling(http, lambda: _notify(provider, parts, heading, text))
    if done:
        return OK
    if status < 300:
        raise Unusable(NOT_TAKEN)
    return status


async def _to_teams(http: Outbound, parts: AddressParts, heading: str, text: str) -> int:
    title = {"type": "TextBlock", "text": heading, "weight": "Bolder", "size": "Medium", "wrap": True}
    body = [title, {"type": "TextBlock", "text": text, "wrap": True}]
    card = {"$schema": CARD, "type": "AdaptiveCard", "version": "1.4", "body": body}
    kind = "application/vnd.microsoft.card.adaptive"
    message = {"type": "message", "attachments": [{"contentType": kind, "contentUrl": None, "content": card}]}
    return await _json(http, f"{_url(parts)}{f'?{parts.query}' if parts.query else ''}", message)


async def _to_opsgenie(http: Outbound, parts: AddressParts, heading: str, text: str) -> int:
    if not parts.path:
        raise Unusable(UNREADABLE)
    *folder, key = parts.path
    url = _url(parts, [*folder, "v2", "alerts"])
    alert = {"message": heading[:LONGEST_ALERT], "description": text[:LONGEST_DESCRIPTION], "source": "Crewship"}
    return await _json(http, url, alert, authorization=f"GenieKey {key}")


def _url(parts: AddressParts, path: list[str] | None = None) -> str:
    scheme = "http" if parts.options.get("disabletls") == "yes" else "https"
    port = "" if parts.port is None else f":{parts.port}"
    way = "/".join(quote(part, safe=":@") for part in (parts.path if path is None else path))
    return f"{scheme}://{parts.host}{port}/{way}"


async def _json(http: Outbound, url: str, content: dict[str, Any], **headers: str) -> int:
    answer = await http.post(url, orjson.dumps(content), headers={"content-type": "application/json", **headers})
    return answer.status
