"""The inputs of channels: where messages are sent to, and which."""

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from models import bounds
from models.attention.inbox import InboxPriority
from models.attention.notification_channels import ChannelEvent, ChannelProvider, ChannelType, NotificationCategory
from resolvers.attention.notification_channels.providers import UnusableAddress, address_of
from resolvers.kernel import ENDS, TRIMMED, Input, Text, Url, at_most, within
from resolvers.kernel.ground.stricter import InGraph, Raw

NO_URL, NO_ADDRESS = "must be http or https with a host", "must be an email address"
NO_PROVIDER = "names the service to send to"
MOST_FIELDS = 16 << 10  # bytes
BOTH = [ChannelEvent.completed, ChannelEvent.failed]
WORDS: dict[str, list[ChannelEvent]] = {
    **{word: [ChannelEvent.completed] for word in ("completed", "run.completed", "complete", "success")},
    **{word: [ChannelEvent.failed] for word in ("failed", "run.failed", "failure", "fail")},
    **dict.fromkeys(("all", "*"), BOTH),
    ChannelEvent.asked.value: [ChannelEvent.asked],
}
HOST = re.compile(r"[A-Za-z0-9._:\[\]-]+")


def _events(raw: Any) -> Any:
    """Words for events, in any case; each event once, in the order of the set."""
    if not isinstance(raw, list) or not all(isinstance(word, str) for word in raw):
        return raw
    known = [WORDS.get(word.strip().lower(), [word]) for word in raw]
    chosen = [event for events in known for event in events]
    strange = [event for event in chosen if event not in [*ChannelEvent]]
    return strange or [event for event in ChannelEvent if event in chosen] or [ChannelEvent.failed]


def _lower(raw: Any) -> Any:
    return raw.strip().lower() if isinstance(raw, str) else raw


def _categories(raw: Any) -> Any:
    """In any case, each once."""
    if not isinstance(raw, list) or not all(isinstance(word, str) for word in raw):
        return raw
    return list(dict.fromkeys(map(_lower, raw)))


def is_callable(url: str) -> bool:
    """Returns true if the URL is http or https with a host. Whether the service may call it is checked at the call."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(HOST.fullmatch(parts.netloc)) and parts.hostname is not None
    except ValueError:
        return False


def _url_of(value: Any, sent: Raw) -> str | None:
    wrong = sent.get("type") == ChannelType.webhook and isinstance(value, str) and not is_callable(value.strip())
    return NO_URL if wrong else None


def _address_of(value: Any, sent: Raw) -> str | None:
    return NO_ADDRESS if sent.get("type") == ChannelType.email and isinstance(value, str) and "@" not in value else None


LOWER = BeforeValidator(_lower)
MOST_CHOSEN = 100
Events = Annotated[list[ChannelEvent], at_most(20), BeforeValidator(_events)]
Categories = Annotated[list[NotificationCategory], at_most(MOST_CHOSEN), BeforeValidator(_categories)]
LowestPriority = Annotated[InboxPriority, LOWER]
Address = Annotated[str, Field(strict=True, max_length=bounds.EMAIL)]
ServiceFields = Annotated[dict[str, Any], within(MOST_FIELDS), ENDS]


class ChannelPlace(Input):
    """`url` and `secret` are for webhooks, `to` for email. For `shoutrrr`, `provider` names the service, and `fields`
    has the values that `notificationProviders` asks for; `shoutrrr_url` can be given instead.
    """

    type: ChannelType
    url: Annotated[Url | None, TRIMMED, InGraph(_url_of)] = None
    to: Annotated[Address | None, TRIMMED, InGraph(_address_of)] = None
    secret: Annotated[Text | None, TRIMMED] = None
    provider: Annotated[ChannelProvider | None, LOWER] = None
    fields: ServiceFields | None = None
    shoutrrr_url: Annotated[Url | None, TRIMMED] = None

    @model_validator(mode="after")
    def _has_an_address(self) -> "ChannelPlace":
        if self.type is ChannelType.webhook and not is_callable(self.url or ""):
            raise PydanticCustomError("url", f"url {NO_URL}")
        if self.type is ChannelType.email and "@" not in (self.to or ""):
            raise PydanticCustomError("to", f"to {NO_ADDRESS}")
        if self.type is ChannelType.shoutrrr:
            try:
                self.service_address()
            except UnusableAddress as error:
                raise PydanticCustomError("fields", "{reason}", {"reason": str(error)}) from None
        return self

    def service_address(self) -> str:
        """The address of a service. Raises UnusableAddress."""
        if self.provider is None:
            raise UnusableAddress(f"provider {NO_PROVIDER}")
        fields = self.fields or {}
        if not all(isinstance(value, str) for value in fields.values()):
            raise UnusableAddress("fields must have texts as values")
        return address_of(self.provider, fields, self.shoutrrr_url or "")
