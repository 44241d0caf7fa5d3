"""Delivery of one message to one channel: by mail, by a signed request, or by a service of others."""

import hashlib
import hmac
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Protocol

import orjson

from models.attention.notification_channels import ChannelProvider, ChannelType, NotificationChannel
from resolvers.attention.notification_channels import services
from resolvers.instance.outbound import Policy
from resolvers.instance.ports import Mail, MailFailed, Undeliverable
from resolvers.kernel import Code, Refusal, instance

AGENT = "crewship-notify/1"
TIMEOUT = 15.0  # seconds
ANSWER = 4096  # bytes that are read of an answer
BUSY = 429
NO_MAIL = "this server sends no mail"


class NotDelivered(Exception):
    """It has to be tried again. The text names neither address nor answer."""


class Refused(NotDelivered):
    """Another try is in vain."""


class Notice(Protocol):
    """The content of a message: an object for webhooks, which a header sorts; a subject for mail, a heading for
    services, and the text.
    """

    @property
    def content(self) -> dict[str, Any]: ...

    @property
    def header(self) -> tuple[str, str]: ...

    @property
    def subject(self) -> str: ...

    @property
    def heading(self) -> str: ...

    @property
    def text(self) -> str: ...


class OfEvent:
    """A message about an event: webhooks receive its fields."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Any]]
    event: str

    @property
    def content(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def header(self) -> tuple[str, str]:
        return "x-crewship-event", self.event

    @property
    def subject(self) -> str:
        raise NotImplementedError

    @property
    def heading(self) -> str:
        return self.subject


@dataclass(frozen=True, slots=True)
class Target:
    """Where a message goes. `secret` signs for a webhook; of a service it is the address."""

    type: ChannelType
    url: str = ""
    address: str = ""
    provider: ChannelProvider | None = None
    secret: str = field(default="", repr=False)


async def send(channel: NotificationChannel, notice: Notice, key: str) -> None:
    """Raises NotDelivered."""
    opened = await secret_of(channel)
    await deliver(Target(channel.type, channel.url or "", channel.address or "", channel.provider, opened), notice, key)


async def deliver(target: Target, notice: Notice, key: str) -> None:
    """One attempt. Raises NotDelivered."""
    if target.type is ChannelType.email:
        return await _mail(target, notice, key)
    policy = Policy.PRIVATE_TOO if instance.settings.hooks_allow_private else Policy.PUBLIC
    try:
        async with instance.http(policy, timeout=TIMEOUT, most=ANSWER, cut=True) as http:
            if target.type is ChannelType.webhook:
                status = await _post(http, target, notice)
            else:
                status = await services.post(http, target.provider, target.secret, notice.heading, notice.text)
    except services.Unusable as error:
        raise Refused(str(error)) from None
    except Refusal as refusal:
        raise (NotDelivered if refusal.code is Code.BAD_GATEWAY else Refused)(refusal.detail) from None
    if not 200 <= status < 300:
        again = status == BUSY or status >= 500
        raise (NotDelivered if again else Refused)(f"the receiver answered with status {status}")


async def _mail(target: Target, notice: Notice, key: str) -> None:
    mailer = instance.mailer
    if mailer is None:
        raise Refused(NO_MAIL)
    try:
        await mailer.send(Mail(target.address, notice.subject, notice.text), key)
    except Undeliverable as error:
        raise Refused(str(error)) from None
    except MailFailed as error:
        raise NotDelivered(str(error)) from None


async def _post(http: Any, target: Target, notice: Notice) -> int:
    body = orjson.dumps(notice.content)
    name, value = notice.header
    headers = {
        "content-type": "application/json",
        "user-agent": AGENT,
        name: value,
        "x-crewship-signature": f"sha256={hmac.new(target.secret.encode(), body, hashlib.sha256).hexdigest()}",
    }
    return int((await http.post(target.url, body, headers=headers)).status)


async def secret_of(channel: NotificationChannel) -> str:
    if channel.secret is None:
        return ""
    where: Any = {"table": NotificationChannel, "column": "secret", "row_id": channel.id}
    return (await instance.vault.open(channel.secret, **where)).reveal()
