"""Mail goes out by SMTP, or by the HTTP service that the contract names. The operator chooses both, by settings."""

import asyncio
import functools
import hashlib
import ssl
from email.utils import localtime, parseaddr
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import orjson

from resolvers.errors import Refusal
from resolvers.instance.outbound import Policy
from resolvers.instance.ports import Mail, Mailer, MailFailed, Undeliverable, in_a_line
from resolvers.instance.running import instance
from resolvers.instance.settings import Settings

if TYPE_CHECKING:  # a start loads nothing that only a mail needs
    from email.message import EmailMessage

TIMEOUT = 20.0  # seconds, for each step of a conversation
LOOPBACK = ("localhost", "127.0.0.1", "::1")
RESEND = "https://api.resend.com"
LONGEST_ANSWER = 64 << 10
LONGEST_ADDRESS = 320


def mailer_of(settings: Settings) -> Mailer | None:
    """The mailer of the settings; SMTP if both are set."""
    if settings.smtp_url is not None and settings.mail_from is not None:
        return SmtpMailer(settings.smtp_url.get_secret_value(), settings.mail_from)
    if settings.resend_api_key is not None and settings.resend_from is not None:
        return ResendMailer(settings.resend_api_key.get_secret_value(), settings.resend_from)
    return None


class SmtpMailer:
    """`smtps` speaks TLS from the start, `smtp` by STARTTLS: always, but on this machine, or with `?tls=off`."""

    def __init__(self, url: str, sender: str) -> None:
        parts = urlsplit(url)
        self._sender, host, implicit = sender, parts.hostname or "", parts.scheme == "smtps"
        port = parts.port or (465 if implicit else 587)
        upgraded = None if host in LOOPBACK else True  # None: where the server offers it
        self.place = f"{host} port {port}"
        self._options: dict[str, Any] = {
            "hostname": host,
            "port": port,
            "username": unquote(parts.username) if parts.username else None,
            "password": unquote(parts.password) if parts.password else None,
            "use_tls": implicit,
            "start_tls": False if implicit or parts.query == "tls=off" else upgraded,
            "local_hostname": _domain(sender),
            "timeout": TIMEOUT,
        }

    async def send(self, mail: Mail, key: str) -> None:
        message, (smtp, tls) = self._written(mail, key), await asyncio.to_thread(_load)
        try:
            await smtp.send(message, tls_context=tls, **self._options)
        except smtp.SMTPRecipientsRefused as error:
            raise _refused(error.recipients[0].code) from None
        except smtp.SMTPDataError as error:
            raise _refused(error.code) from None
        except (smtp.SMTPException, OSError) as error:
            raise _unusable(error) from None

    async def check(self) -> None:
        """Connects, signs in, and leaves again. Raises MailFailed."""
        smtp, tls = await asyncio.to_thread(_load)
        try:
            async with smtp.SMTP(tls_context=tls, **self._options):
                pass
        except (smtp.SMTPException, OSError) as error:
            raise _unusable(error) from None

    def _written(self, mail: Mail, key: str) -> "EmailMessage":
        from email.message import EmailMessage

        if in_a_line(mail.to, LONGEST_ADDRESS) != mail.to:
            raise Undeliverable("the address cannot be written in a header")
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self._sender, mail.to, mail.subject
        message["Date"], message["Auto-Submitted"] = localtime(), "auto-generated"
        name = hashlib.sha256(key.encode()).hexdigest()[:32]
        message["Message-ID"] = f"<{name}@{_domain(self._sender)}>"
        message.set_content(mail.text)
        return sound(message)


HEADERS = frozenset({"from", "to", "subject", "date", "auto-submitted", "message-id", "mime-version"}) | {
    "content-type",
    "content-transfer-encoding",
}


def sound(message: "EmailMessage") -> "EmailMessage":
    """A mail whose sent form has the intended content: the headers that are set here, once each, and the text. Raises
    Undeliverable. Older releases of Python write line ends within a header unchanged (CVE-2024-6923).
    """
    from email import message_from_bytes
    from email.policy import SMTP

    try:
        sent = message_from_bytes(message.as_bytes(policy=SMTP))
    except (ValueError, UnicodeError) as error:
        raise Undeliverable(f"the mail cannot be written: {type(error).__name__}") from None
    names = [name.lower() for name in sent]
    text = sent.get_payload(decode=True)
    meant = message.get_content().split()
    same = isinstance(text, bytes) and text.decode(errors="replace").split() == meant
    if len(set(names)) != len(names) or not HEADERS.issuperset(names) or not same:
        raise Undeliverable("the mail cannot be written: what is in a header would end it")
    return message


def writes_headers_whole() -> bool:
    """Returns true if this Python lets no value end a header."""
    from email import message_from_bytes
    from email.message import EmailMessage

    message = EmailMessage()
    message["Subject"] = "=?utf-8?q?a=0aB:_c?="
    try:
        return len(message_from_bytes(message.as_bytes()).keys()) == 1
    except ValueError:
        return True


class ResendMailer:
    """The HTTP service. It takes a repetition with the same key for what it is."""

    def __init__(self, api_key: str, sender: str, base: str = RESEND, policy: Policy = Policy.PUBLIC) -> None:
        self._api_key, self._sender, self._base, self._policy = api_key, sender, base, policy

    async def send(self, mail: Mail, key: str) -> None:
        body = {"from": self._sender, "to": [mail.to], "subject": mail.subject, "text": mail.text}
        headers = {
            "authorization": f"Bearer {self._api_key}",
            "content-type": "application/json",
            "idempotency-key": key,
        }
        try:
            async with instance.http(self._policy, timeout=TIMEOUT, most=LONGEST_ANSWER) as http:
                answer = await http.post(f"{self._base}/emails", orjson.dumps(body), headers=headers)
        except Refusal as refusal:
            raise MailFailed(refusal.detail) from None
        if answer.status >= 300:
            retried = answer.status in (401, 403, 408, 409, 429) or answer.status >= 500
            raise (MailFailed if retried else Undeliverable)(f"the mail service answered with status {answer.status}")


def _refused(code: int) -> MailFailed:
    """The error for a receiver or a message. RFC 5321, 4.2.1: 5yz is permanent."""
    return (Undeliverable if code >= 500 else MailFailed)(f"the mail server answered {code}")


def _unusable(error: Exception) -> MailFailed:
    """A login that is refused is the operator's to mend. The server's words may repeat what was sent."""
    code = getattr(error, "code", None)
    kind = type(error).__name__
    return MailFailed(
        f"the mail server cannot be used: {kind}" if code is None else (f"the mail server answered {code}")
    )


def _domain(sender: str) -> str:
    return parseaddr(sender)[1].rpartition("@")[2]


@functools.cache
def _load() -> tuple[Any, ssl.SSLContext]:
    """In a thread: the import, and reading all authorities' certificates, take a while."""
    import aiosmtplib

    return aiosmtplib, ssl.create_default_context()
