"""Mail by SMTP and by the HTTP service: what is handed over, under which protection, and what is told when it fails."""

import asyncio
import ssl
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiosmtplib
import orjson
import pytest
from aiosmtpd.smtp import AuthResult
from pydantic import SecretStr

from crewship.cli.doctor import check_mail
from crewship.process import mail as outgoing
from crewship.process.mail import ResendMailer, SmtpMailer, mailer_of
from resolvers.instance.outbound import Policy
from resolvers.instance.ports import Mail, MailFailed, Undeliverable
from resolvers.instance.settings import Settings, load_settings
from tests.every import each_of
from tests.kernel.servers import answering, certificate, response
from tests.people.recovery.mailbox import Mailbox, listening, text_of

pytestmark = pytest.mark.anyio
SENDER = "Crewship <no-reply@example.com>"
MAIL = Mail("ada@example.com", "Ein Schl\u00fcssel", "Open https://example.com/x?token=hunter2\n" + "long " * 400)


def configured(**values: Any) -> Settings:
    given = {"smtp_url": None, "mail_from": None, "resend_api_key": None, "resend_from": None, "public_url": None}
    return load_settings().model_copy(update=given | values)


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What a server of `localhost` shows, and clients trust."""
    authority, shown = certificate(tmp_path, "localhost")
    trusting = ssl.create_default_context(cafile=authority)
    monkeypatch.setattr(outgoing, "_load", lambda: (aiosmtplib, trusting))
    return shown


async def test_a_mail_arrives_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    mailbox = Mailbox()
    async with listening(mailbox) as port:
        mailer = SmtpMailer(f"smtp://127.0.0.1:{port}", SENDER)
        for key in ("one", "one", "two"):
            await mailer.send(MAIL, key)
    mail = mailbox.mails[0]
    assert [mail[name] for name in ("from", "to", "subject", "auto-submitted")] == [
        SENDER,
        MAIL.to,
        MAIL.subject,
        "auto-generated",
    ]
    assert text_of(mail).split() == MAIL.text.split()
    names = [mail["message-id"] for mail in mailbox.mails]
    assert names[0] == names[1] != names[2], "the same mail has the same name"


# what the double of a server thinks of TLS that it has not seen begin
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize("scheme", ["smtps", "smtp"])
async def test_a_login_and_a_mail_go_by_tls(tls: ssl.SSLContext, scheme: str) -> None:
    seen: list[tuple[bytes, bytes]] = []

    def authenticator(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        seen.append((data.login, data.password))
        return AuthResult(success=data.password == b"p@ss:word", handled=False)

    options: dict[str, Any] = {"authenticator": authenticator, "auth_required": True}
    options |= {"tls": tls, "auth_require_tls": False} if scheme == "smtps" else {"tls_context": tls}
    mailbox = Mailbox()
    async with listening(mailbox, **options) as port:
        await SmtpMailer(f"{scheme}://ada:p%40ss%3Aword@localhost:{port}", SENDER).send(MAIL, "key")
        assert len(mailbox.mails) == 1
        assert seen == [(b"ada", b"p@ss:word")]
        with pytest.raises(MailFailed, match="the mail server answered 535") as told:
            await SmtpMailer(f"{scheme}://ada:hunter2@localhost:{port}", SENDER).send(MAIL, "key")
    assert not isinstance(told.value, Undeliverable), "the operator will mend it"
    assert "hunter2" not in str(told.value)


async def test_nothing_is_said_to_a_server_that_does_not_speak_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sits in between may take the offer out."""
    monkeypatch.setattr(outgoing, "LOOPBACK", ())
    mailbox = Mailbox()
    async with listening(mailbox) as port:
        with pytest.raises(MailFailed):
            await SmtpMailer(f"smtp://127.0.0.1:{port}", SENDER).send(MAIL, "key")
        assert mailbox.tried == 0
        await SmtpMailer(f"smtp://127.0.0.1:{port}?tls=off", SENDER).send(MAIL, "key")
        assert len(mailbox.mails) == 1


async def test_a_certificate_of_somebody_else_is_refused(tls: ssl.SSLContext, tmp_path: Path) -> None:
    _, stranger = certificate(tmp_path, "other.test")
    mailbox = Mailbox()
    async with listening(mailbox, tls=stranger) as port:
        with pytest.raises(MailFailed):
            await SmtpMailer(f"smtps://localhost:{port}", SENDER).send(MAIL, "key")
    assert mailbox.tried == 0


@pytest.mark.parametrize(
    ("answer", "kind"), [("451 hunter2", MailFailed), ("550 hunter2", Undeliverable), ("554 hunter2", Undeliverable)]
)
async def test_a_refusal_is_final_or_not_and_says_nothing_of_the_mail(answer: str, kind: type[Exception]) -> None:
    mailbox = Mailbox()
    mailbox.refusing = [answer]
    async with listening(mailbox) as port:
        with pytest.raises(MailFailed) as told:
            await SmtpMailer(f"smtp://127.0.0.1:{port}", SENDER).send(MAIL, "key")
    assert type(told.value) is kind
    assert str(told.value) == f"the mail server answered {answer[:3]}"


async def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(Mailbox()) as port:
        pass
    with pytest.raises(MailFailed):
        await SmtpMailer(f"smtp://127.0.0.1:{port}", SENDER).send(MAIL, "key")


async def test_by_the_http_service() -> None:
    bodies = list[bytes]()

    async def taking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))[15:])
        bodies.append(head + await reader.readexactly(size))
        writer.write(response(b'{"id": "1"}'))
        await writer.drain()

    async with answering(taking) as server:
        await ResendMailer("re_hunter2", SENDER, server.url, Policy.PRIVATE_TOO).send(MAIL, "recovery.mail:x/1/mail")
    head, _, body = bodies[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /emails HTTP/1.1\r\n")
    lines = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:])
    assert lines[b"authorization"] == b"bearer re_hunter2"
    assert lines[b"idempotency-key"] == b"recovery.mail:x/1/mail"
    assert orjson.loads(body) == {"from": SENDER, "to": [MAIL.to], "subject": MAIL.subject, "text": MAIL.text}


@pytest.mark.parametrize(
    ("status", "kind"), [("429 Slow", MailFailed), ("503 Away", MailFailed), ("422 No", Undeliverable)]
)
async def test_what_the_http_service_refuses(status: str, kind: type[Exception]) -> None:
    async with answering(response(b'{"message": "hunter2"}', status)) as server:
        with pytest.raises(MailFailed) as told:
            await ResendMailer("re_x", SENDER, server.url, Policy.PRIVATE_TOO).send(MAIL, "key")
    assert type(told.value) is kind
    assert str(told.value) == f"the mail service answered with status {status[:3]}"


async def test_an_http_service_that_is_not_there() -> None:
    async with answering(b"") as server:
        url = server.url
    with pytest.raises(MailFailed, match="cannot be reached"):
        await ResendMailer("re_x", SENDER, url, Policy.PRIVATE_TOO).send(MAIL, "key")


def test_which_one_the_settings_ask_for() -> None:
    smtp = {"smtp_url": SecretStr("smtp://mail.example.com"), "mail_from": SENDER}
    resend = {"resend_api_key": SecretStr("re_x"), "resend_from": SENDER}
    assert mailer_of(configured()) is None
    assert mailer_of(configured(smtp_url=smtp["smtp_url"])) is None
    assert isinstance(mailer_of(configured(**resend)), ResendMailer)
    assert isinstance(mailer_of(configured(**smtp, **resend)), SmtpMailer)


async def _checked(change: Callable[[int], dict[str, Any]], mailbox: Mailbox) -> Any:
    async with listening(mailbox) as port:
        return await asyncio.to_thread(check_mail, configured(**change(port)))


async def test_the_doctor_says_whether_mail_goes_out() -> None:
    place = {"public_url": "https://crew.example.com", "mail_from": SENDER}
    none = check_mail(configured())
    assert (none.ok, "CREWSHIP_SMTP_URL" in none.fix) == (True, True)
    half = check_mail(configured(mail_from=SENDER))
    assert (half.ok, half.fix) == (False, "set both, or neither")
    mailbox = Mailbox()
    good = await _checked(lambda port: place | {"smtp_url": SecretStr(f"smtp://127.0.0.1:{port}")}, mailbox)
    assert (good.ok, good.found.startswith("uses 127.0.0.1 port "), mailbox.tried) == (True, True, 0)
    nowhere = await _checked(
        lambda port: {"mail_from": SENDER, "smtp_url": SecretStr(f"smtp://127.0.0.1:{port}")}, mailbox
    )
    assert (nowhere.ok, nowhere.fix) == (False, "set CREWSHIP_PUBLIC_URL")
    url = "smtp://ada:hunter2@127.0.0.1:{}"
    login = await _checked(lambda port: place | {"smtp_url": SecretStr(url.format(port))}, mailbox)
    assert (login.ok, "hunter2" in f"{login}") == (False, False)


WORDS = [
    "=?utf-8?q?x=0d=0aBcc:_a@b.example?=",
    "=?utf-8?q?x=0d=0a=0d=0aReset_now:_evil.example/r?=",
    "=?utf-8?q?x=0aContent-Type:text/html=0a=0a<a_href=3d//e.example>?=",
    "=?utf-8?b?eAoKaGVyZQ==?=",
    "=?utf-8?q?a?= =?utf-8?q?=0aB:_c?=",
    "x\r\nBcc: a@b.example",
    "x\n\ny",
    "x\rBcc: a@b.example",
    "x\x0b\x0c\x1c\x85\u2028\u2029Bcc: a@b.example",
    "==??==?utf-8?q?=0aBcc:_a@b.example?==",
    "=\u200b?utf-8?q?=0aBcc:_a@b.example?=",
    "\u00e4" * 400,
    "long " * 100,
    "",
]


@pytest.mark.slow
@each_of("word", WORDS)
@each_of("frame", ["{}", "Decision needed: {}", 'Invitation to the workspace "{}" on x.example'])
async def test_nothing_in_a_subject_ends_it(word: str, frame: str) -> None:
    mailbox = Mailbox()
    async with listening(mailbox) as port:
        mail = Mail("ada@example.com", frame.format(word), "The text.\n")
        await SmtpMailer(f"smtp://127.0.0.1:{port}", SENDER).send(mail, "key")
    [arrived] = mailbox.mails
    assert {name.lower() for name in arrived.keys()} <= outgoing.HEADERS | {"x-peer", "x-mailfrom", "x-rcptto"}  # noqa: SIM118
    assert arrived.get_content_type() == "text/plain"
    assert text_of(arrived).strip() == "The text."
    assert "".join(str(arrived["subject"]).split()) == "".join(mail.subject.split())
    assert len(mail.subject) <= 150


@pytest.mark.parametrize(
    "address", ["=?utf-8?q?x=0d=0aBcc:_a?=@b.example", "x\r\nBcc: a@b.example", "x\n\ny@b.example"]
)
async def test_what_would_end_a_header_of_addresses_is_not_sent(address: str) -> None:
    mailbox = Mailbox()
    async with listening(mailbox) as port:
        with pytest.raises(Undeliverable, match="the address cannot be written"):
            await SmtpMailer(f"smtp://127.0.0.1:{port}", SENDER).send(Mail(address, "s", "The text."), "key")
    assert mailbox.tried == 0


def test_a_mail_that_is_not_what_was_meant_is_refused() -> None:
    message = EmailMessage()
    message["Subject"], message["X-Other"] = "s", "x"
    message.set_content("text")
    with pytest.raises(Undeliverable, match="cannot be written"):
        outgoing.sound(message)


def test_every_subject_is_one_short_line_whoever_made_it() -> None:
    assert Mail("a@b.example", "x\r\n y =?z?=", "").subject == "x y = ?z? ="
    assert len(Mail("a@b.example", "x" * 999, "").subject) == 150
