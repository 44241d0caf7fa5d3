"""Services that messages are sent to: their forms, their addresses, and what each of them receives."""

import asyncio
import json
import threading
from typing import Any

import pytest

from models.attention.notification_channels import ChannelProvider
from resolvers.attention.notification_channels import services
from resolvers.attention.notification_channels.providers import SERVICES, UnusableAddress, address_of
from resolvers.errors import Code, Refusal
from resolvers.instance import guarded_requests
from resolvers.instance.outbound import Answered, Outbound, Policy
from tests.attention.notification_channels.test_channels import PATH, Receiver, create, private_addresses
from tests.world import World

pytest.importorskip("apprise")
pytestmark = pytest.mark.anyio
PROVIDERS = "/api/v1/notification-providers"
SLACK = "https://hooks.slack.com/services/T00000000/B00000000/" + "X" * 24
ADDRESSES: list[tuple[str, dict[str, str], str]] = [
    (
        "discord", {"webhook_url": "https://discord.com/api/webhooks/123/abc", "bot_name": "My bot"},
        "discord://abc@123?username=My+bot",
    ),
    ("slack", {"webhook_url": SLACK}, f"slack://hook:T00000000-B00000000-{'X' * 24}@webhook"),
    ("telegram", {"bot_token": "1:AA", "chat_id": "@chan"}, "telegram://1:AA@telegram?chats=%40chan"),
    ("ntfy", {"topic": "t op"}, "ntfy://ntfy.sh/t%20op"),
    (
        "ntfy", {"topic": "t", "server": "ntfy.example.com", "username": "u", "password": "p"},
        "ntfy://u:p@ntfy.example.com/t",
    ),
    (
        "gotify", {"server": "https://gotify.example.com/", "app_token": "A1b2C3d4E5f6G7h"},
        "gotify://gotify.example.com/A1b2C3d4E5f6G7h",
    ),
    ("pushover", {"user_key": "u", "api_token": "a"}, "pushover://:a@u"),
    ("mattermost", {"server": "mm.example.com", "token": "tok", "channel": "town"}, "mattermost://mm.example.com/tok/town"),
    (
        "matrix", {"server": "matrix.org", "access_token": "tok", "rooms": "#a:matrix.org"},
        "matrix://:tok@matrix.org?rooms=%23a%3Amatrix.org",
    ),
    ("teams", {"webhook_url": "https://teams.example.com:443/w/x?sig=y"}, "teams://teams.example.com:443/w/x?sig=y"),
    (
        "googlechat", {"webhook_url": "https://chat.googleapis.com/v1/spaces/AAA/messages?key=k&token=t"},
        "googlechat://chat.googleapis.com/v1/spaces/AAA/messages?key=k&token=t",
    ),
    ("opsgenie", {"api_key": "k"}, "opsgenie://api.opsgenie.com/k"),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "fields", "address"), ADDRESSES)
async def test_an_address_is_made_of_the_fields(
    world: World, provider: str, fields: dict[str, str], address: str
) -> None:
    sent = {"type": "shoutrrr", "provider": provider.title(), "fields": {f" {k} ": f" {v} " for k, v in fields.items()}}
    made = await create(world, **sent)
    assert (made["secret"], made["provider"]) == (address, provider)
    assert "url" not in made
    listed = (await world.rest(world.viewer, "GET", PATH)).json()["channels"]
    shown = next(channel for channel in listed if channel["id"] == made["id"])
    assert "secret" not in shown
    stored = await world.database.fetchval("SELECT secret FROM notification_channels WHERE id = $1", made["id"])
    assert address.encode() not in stored


@pytest.mark.parametrize(
    "body",
    [
        {"provider": "irc", "fields": {"x": "y"}},
        {},
        {"provider": "slack"},
        {"provider": "slack", "fields": {"webhook_url": "https://hooks.slack.com/services/T"}},
        {"provider": "discord", "fields": {"webhook_url": "https://discord.com/channels/1/2"}},
        {"provider": "telegram", "fields": {"bot_token": "x"}},
        {"provider": "telegram", "fields": {"bot_token": 5, "chat_id": "x"}},
        {"provider": "slack", "shoutrrr_url": "discord://t@1"},
        {"provider": "slack", "shoutrrr_url": "slack://"},
        {"provider": "teams", "fields": {"webhook_url": "ftp://x"}},
        {"provider": "gotify", "fields": {"server": "a b", "app_token": "x"}},
        {"provider": "ntfy", "fields": {"topic": "t" * 3000}},
    ],
)
async def test_a_place_that_is_not_usable_is_refused(world: World, body: dict[str, Any]) -> None:
    before = await world.snapshot()
    for path in (PATH, f"{PATH}/test"):
        answer = await world.rest(world.manager, "POST", path, {"type": "shoutrrr"} | body)
        assert answer.status_code == 400, answer.text
    assert await world.snapshot() == before


async def test_an_address_can_be_given_and_fields_precede_it(world: World) -> None:
    raw = {"type": "shoutrrr", "provider": "slack", "shoutrrr_url": " slack://hook:T-B-X@webhook "}
    assert (await create(world, **raw))["secret"] == "slack://hook:T-B-X@webhook"
    both = {"provider": "telegram", "fields": {"bot_token": "1:AA", "chat_id": "5"}}
    assert (await create(world, **raw | both))["secret"] == "telegram://1:AA@telegram?chats=5"


async def test_a_workspace_switches_a_provider_off(world: World) -> None:
    path, sent = f"{PROVIDERS}/ntfy", {"type": "shoutrrr", "provider": "ntfy", "fields": {"topic": "t"}}
    made = await create(world, **sent)
    assert (await world.rest(world.manager, "PATCH", path, {"enabled": False})).status_code == 403
    switched = await world.rest(world.admin, "PATCH", path, {})
    assert switched.json() == {"provider": "ntfy", "enabled": False}
    assert (await world.rest(world.admin, "PATCH", f"{PROVIDERS}/Ntfy", {"enabled": True})).status_code == 404
    await create(world, 400, **sent)
    assert (await world.rest(world.member, "POST", f"{PATH}/test", sent)).status_code == 400
    assert (await world.rest(world.manager, "POST", f"{PATH}/{made['id']}/test")).status_code == 502
    offered = (await world.rest(world.viewer, "GET", PROVIDERS)).json()
    assert [one["provider"] for one in offered["providers"] if not one["enabled"]] == ["ntfy"]
    assert [one["key"] for one in offered["categories"]] == ["chat", "push", "incident"]
    assert [one["provider"] for one in offered["providers"]] == [*ChannelProvider]
    assert (await world.rest(world.admin, "PATCH", path, {"enabled": True})).json()["enabled"] is True
    await create(world, **sent)


LOCAL = {
    "ntfy": "ntfy://u:p@{host}/alerts?scheme=http",
    "gotify": "gotify://{host}/base/A1b2C3d4E5f6G7h?disabletls=yes",
    "mattermost": "mattermost://{host}/tok/town?disabletls=yes",
    "teams": "teams://{host}/workflows/x?sig=y&disabletls=yes",
    "opsgenie": "opsgenie://{host}/key?disabletls=yes",
}


@pytest.mark.parametrize("provider", LOCAL)
async def test_a_server_receives_the_message(world: World, provider: str) -> None:
    async with Receiver().listening() as receiver:
        host = receiver.url.removeprefix("http://").removesuffix("/hook")
        sent = {"type": "shoutrrr", "provider": provider, "shoutrrr_url": LOCAL[provider].format(host=host)}
        refused = await world.rest(world.viewer, "POST", f"{PATH}/test", sent)
        assert (refused.status_code, receiver.got) == (502, []), "a private address"
        with private_addresses():
            answer = await world.rest(world.viewer, "POST", f"{PATH}/test", sent)
            assert answer.json() == {"ok": True}, answer.text
            made = await create(world, **sent)
            receiver.answers = [500, 500]
            tested = await world.rest(world.manager, "POST", f"{PATH}/{made['id']}/test")
            assert tested.status_code == 200, "the third attempt"
            receiver.answers = [302]
            redirected = await world.rest(world.manager, "POST", f"{PATH}/{made['id']}/test")
            assert redirected.status_code == 502
    assert len(receiver.got) == 5
    headers, body = receiver.got[0]
    assert "run.completed" in body.decode()
    assert "apprise" not in headers.get("user-agent", "").lower()


WELL_KNOWN = "/.well-known/matrix/client"


class Recorded(Outbound):
    """Answers instead of the network."""

    def __init__(self, body: bytes = b"ok") -> None:
        super().__init__(Policy.PUBLIC, timeout=1, most=1)
        self.got: list[tuple[str, str, bytes]] = []
        self._body_sent = body

    async def request(self, method: str, url: str, *, headers: Any = None, content: bytes | None = None) -> Answered:
        self.got.append((method, url, content or b""))
        if url.endswith(WELL_KNOWN):
            return Answered(404, {}, b"")
        return Answered(200, {"content-type": "application/json"}, self._body_sent)


HOSTS = {
    "discord": ("https://discord.com/api/webhooks/123/abc", b""),
    "slack": ("https://hooks.slack.com/services/", b"ok"),
    "telegram": ("https://api.telegram.org/bot1:AA/sendMessage", b'{"ok": true, "result": {}}'),
    "pushover": ("https://api.pushover.net/1/messages.json", b'{"status": 1}'),
    "googlechat": ("https://chat.googleapis.com/v1/spaces/AAA/messages", b"{}"),
    "opsgenie": ("https://api.opsgenie.com/v2/alerts", b"{}"),
    "teams": ("https://teams.example.com:443/w/x?sig=y", b"1"),
}
TOKENS = {"pushover": {"user_key": "u" * 30, "api_token": "a" * 30}}


@pytest.mark.parametrize("provider", HOSTS)
async def test_a_service_is_called_at_its_own_host(provider: str) -> None:
    url, body = HOSTS[provider]
    fields = TOKENS.get(provider) or next(fields for name, fields, _ in ADDRESSES if name == provider)
    http, one = Recorded(body), ChannelProvider(provider)
    status = await services.post(http, one, address_of(one, fields, ""), "Heading", "Text of it")
    assert status == 200
    assert [called.startswith(url) for _, called, _ in http.got] == [True], http.got
    assert b"Heading" in http.got[0][2]
    assert b"Text of it" in http.got[0][2] or b"Text+of+it" in http.got[0][2]


async def test_matrix_sends_to_the_rooms_in_plain_text() -> None:
    http = Recorded(b'{"room_id": "!a:matrix.org", "user_id": "@bot:matrix.org", "event_id": "$1"}')
    address = "matrix://:tok@matrix.org?rooms=%23a%3Amatrix.org"
    assert await services.post(http, ChannelProvider.matrix, address, "Heading", "Text") == 200
    assert all(url.startswith("https://matrix.org/") for _, url, _ in http.got), http.got
    assert not any("keys/upload" in url for _, url, _ in http.got)
    assert json.loads(http.got[-1][2])["msgtype"] == "m.text"


async def test_a_library_sends_nothing_by_itself() -> None:
    """Outside of `calling` there is no network, and each service that it knows has the guarded session."""
    for provider in services.PLUGINS:
        await asyncio.to_thread(services._plugin, provider)
    session = services.session_type()()
    with pytest.raises(RuntimeError):
        session.post("http://127.0.0.1:9/")
    with pytest.raises(Refusal):
        async with Outbound(Policy.PUBLIC, timeout=2, most=10) as http:
            await services.post(http, ChannelProvider.gotify, "gotify://127.0.0.1:9/tok?disabletls=yes", "a", "b")


@pytest.mark.parametrize(
    ("provider", "address"),
    [
        ("googlechat", "googlechat://example.com/v1/spaces/A/messages?key=k&token=t"),
        ("slack", "slack://webhook"),
        ("telegram", "telegram://1:AA@telegram"),
        ("gotify", "gotify://host"),
        ("opsgenie", "opsgenie://host"),
        ("ntfy", "ntfy://host:port/t"),
    ],
)
async def test_an_address_that_means_nothing_is_not_called(provider: str, address: str) -> None:
    http = Recorded()
    with pytest.raises(services.Unusable):
        await services.post(http, ChannelProvider(provider), address, "Heading", "Text")
    assert http.got == []


def test_forms_ask_for_what_addresses_need() -> None:
    for provider, service in SERVICES.items():
        with pytest.raises(UnusableAddress):
            address_of(provider, {"x": "y"}, "")
        assert all(field.secret for field in service.fields if field.type.value == "password")


async def test_services_have_threads_of_their_own_and_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow services take no thread of other work, and a message that took too long sends nothing more."""
    async with Outbound(Policy.PUBLIC, timeout=2, most=10) as http:
        name, _ = await guarded_requests.calling(http, lambda: threading.current_thread().name)
        assert name.startswith("services")
        monkeypatch.setattr(guarded_requests, "LONGEST", -1.0)
        with pytest.raises(Refusal) as refused:
            await services.post(http, ChannelProvider.ntfy, "ntfy://ntfy.example.com/t", "Title", "Text")
    assert (refused.value.code, refused.value.detail) == (Code.BAD_GATEWAY, guarded_requests.SLOW)
