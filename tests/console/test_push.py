"""Phone and away: the console is installed, notified, and decides from the page of a notification."""

import asyncio
import json
from typing import Any
from urllib.request import urlopen

import pytest
from websockets.asyncio.client import connect

from models.people.workspaces import Membership, Role
from tests.attention.push.phone import Phone
from tests.console.deck import PHONE, enter, go, page, pictures, place
from tests.console.needs import HOSTILE, Needs, given
from tests.console.test_now import becomes
from tests.people.auth.browsers import new_user
from tests.process.browser import CHROMIUM, Page
from tests.process.looks import axe, judge
from tests.world import World, now

__all__ = ["axe", "given", "page", "place"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.thorough]
SUBSCRIBED = """
    (() => {{
        let one = null;
        const made = {{endpoint: {endpoint}, options: {{}}, toJSON: () => ({{endpoint: {endpoint}, keys: {keys}}}),
            unsubscribe: async () => (one = null, true)}};
        PushManager.prototype.subscribe = async () => (one = made);
        PushManager.prototype.getSubscription = async () => one;
    }})()
"""
"""A push service stands behind the browser, and none is in reach of a test."""


def button(name: str) -> str:
    return f"[...document.querySelectorAll('main button')].find(one => one.innerText.trim() === '{name}')"


async def press(page: Page, name: str) -> None:
    await page.until(f"({button(name)}) && !({button(name)}).disabled")
    await page.value(f"{button(name)}.click()")


async def test_a_tap_on_the_page_of_a_notification_decides(place: World, given: Needs, page: Page) -> None:
    await page.look(*PHONE)
    await enter(page, place, f"act/approval/{given.approval.id}")
    await page.see("run_command", "main h2")
    await page.see("rm -r build", "main")
    await page.until(button("Approve"))
    box = await page.value(f"{button('Approve')}.getBoundingClientRect().toJSON()")
    assert box["left"] >= 0
    assert box["right"] <= PHONE[0]
    assert box["top"] >= 0
    assert box["bottom"] <= PHONE[1], "no scrolling before the second tap"
    assert await page.value("document.documentElement.scrollWidth <= innerWidth")
    await press(page, "Approve")
    await page.see("Approve: ", "main")
    await becomes(place, "approvals", given.approval.id, "status", "approved")
    await page.see("See what else needs you", "main")
    assert page.complaints == []


@pytest.mark.slow
async def test_the_page_of_a_notification_for_each_kind(place: World, given: Needs, page: Page, axe: str) -> None:
    await enter(page, place, f"act/approval/{given.approval.id}")
    await page.see("run_command", "main h2")
    await pictures(page, "act-approval")
    await judge(page, axe, "act")
    assert await page.value("document.querySelectorAll('main :is(img, script), [href^=javascript]').length") == 0
    await page.fill("main input[name=comment]", "Not today")
    await press(page, "Deny")
    await becomes(place, "approvals", given.approval.id, "status, comment", "denied", "Not today")
    await page.open(f"{place.url}/console/{place.workspace.slug}/act/question/{given.escalation.id}")
    await page.until("document.activeElement.matches('main textarea')")
    await pictures(page, "act-question")
    await page.fill("main textarea", "release/2")
    await page.press("Enter")
    answered = ("RESOLVED", "release/2", "approve")
    await becomes(place, "escalations", given.escalation.id, "status, resolution, action", *answered)
    for gone in (f"act/approval/{given.approval.id}", "act/approval/none", f"act/nothing/{given.approval.id}"):
        await page.open(f"{place.url}/console/{place.workspace.slug}/{gone}")
        await page.see("Nothing to decide", "main")
    await judge(page, axe, "nothing to act on")
    assert [one for one in page.complaints if "400" not in one] == []


@pytest.mark.slow
async def test_what_another_decides_goes_from_the_page(place: World, given: Needs, page: Page) -> None:
    await enter(page, place, f"act/approval/{given.approval.id}")
    await page.until(button("Approve"))
    path = f"/api/v1/approvals/{given.approval.id}/decide"
    assert (await place.rest(place.owner, "POST", path, {"status": "denied"})).status_code == 200
    await page.see("Nothing to decide", "main")
    assert page.complaints == []


@pytest.mark.slow
async def test_one_who_may_not_decide_reads_what_it_needs(place: World, given: Needs, page: Page) -> None:
    user = await new_user(place, full_name="Vera", email="vera@example.com")
    here = {"workspace_id": place.workspace.id, "user_id": user.id}
    await place.add(Membership(role=Role.VIEWER, accepted_at=now(), **here))
    await enter(page, place, f"act/question/{given.escalation.id}", "vera@example.com")
    await page.until("document.querySelector('main :is(h1, h2)')")
    await page.until("/needs |Nothing to decide/.test(document.querySelector('main').innerText)")
    acts = "[...document.querySelectorAll('main button')].filter(one => one.innerText.trim()).length"
    assert await page.value(acts) == 0
    assert page.complaints == []


async def _worker_says(page: Page, expression: str) -> Any:
    """What an expression comes to in the service worker."""
    host, port = page._socket.remote_address[:2]

    def address() -> str:
        with urlopen(f"http://{host}:{port}/json/list", timeout=10) as answer:
            targets = json.load(answer)
        return str(next(one["webSocketDebuggerUrl"] for one in targets if one["type"] == "service_worker"))

    async with connect(await asyncio.to_thread(address), max_size=None, ping_interval=None) as socket:
        asked = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        await socket.send(json.dumps({"id": 1, "method": "Runtime.evaluate", "params": asked}))
        while (answer := json.loads(await socket.recv())).get("id") != 1:
            pass
    assert "exceptionDetails" not in answer["result"], answer["result"]
    return answer["result"]["result"].get("value")


@pytest.mark.slow
async def test_it_is_installable_and_a_push_opens_its_page(place: World, given: Needs, page: Page) -> None:
    await enter(page, place, "runs")
    found = await page.command("Page.getAppManifest")
    assert found["errors"] == []
    assert found["url"] == f"{place.url}/console/manifest.webmanifest"
    assert (await page.command("Page.getInstallabilityErrors"))["installabilityErrors"] == []
    await page.command("ServiceWorker.enable")
    await page.command("Browser.grantPermissions", origin=place.url, permissions=["notifications"])
    await page.value(
        "navigator.serviceWorker.register('/console/sw.js', {scope: '/console'})"
        ".then(() => navigator.serviceWorker.ready).then(one => one.scope)"
    )
    await page.until("navigator.serviceWorker.controller")
    scope = f"{place.url}/console"
    async with asyncio.timeout(20):
        while scope not in page.workers:
            await asyncio.sleep(0.05)
    url = f"/console/{place.workspace.slug}/act/approval/{given.approval.id}"
    said = {"title": "Approval needed", "body": f"{HOSTILE}\nAda", "url": url, "at": 1, "urgent": True}

    async def push() -> None:
        for tag in ("approval:1", "approval:1", "approval:2"):
            data = json.dumps(said | {"tag": tag, "acts": [["approve", "Approve"], ["deny", "Deny"]]})
            await page.command(
                "ServiceWorker.deliverPushMessage", origin=place.url, registrationId=page.workers[scope], data=data
            )

    listed = (
        "navigator.serviceWorker.ready.then(one => one.getNotifications())"
        ".then(all => all.map(({title, body, tag}) => [title, body, tag]))"
    )
    async with asyncio.timeout(20):
        await push()
        while len(shown := await page.value(listed)) < 2:
            await asyncio.sleep(1)
            await push()  # the browser drops what arrives while it still stores a new worker
    assert sorted(tag for _, _, tag in shown) == ["approval:1", "approval:2"], "the same thing is shown once"
    assert shown[0][:2] == ["Approval needed", f"{HOSTILE}\nAda"]
    before = len(page.requests)
    await _worker_says(
        page,
        "self.registration.getNotifications({tag: 'approval:1'}).then(([notification]) =>"
        " void self.dispatchEvent(new NotificationEvent('notificationclick', {notification})))",
    )
    await page.until(f"location.pathname === {json.dumps(url)}")
    await page.see("run_command", "main h2")
    assert await page.value(f"({listed}).then(all => all.length)") == 1
    assert len(page.requests) > before, "requests go to the server as before"
    await press(page, "Approve")
    await becomes(place, "approvals", given.approval.id, "status", "approved")
    await go(page, place, "")
    async with asyncio.timeout(20):
        while await page.value(f"({listed}).then(all => all.length)"):
            await asyncio.sleep(0.05)
    assert page.complaints == []


async def _subscribable(page: Page, place: World) -> Phone:
    phone = Phone()
    script = SUBSCRIBED.format(endpoint=json.dumps("https://push.example.com/one"), keys=json.dumps(phone.keys))
    await page.command("Page.addScriptToEvaluateOnNewDocument", source=script)
    await page.command("Browser.grantPermissions", origin=place.url, permissions=["notifications"])
    return phone


@pytest.mark.slow
async def test_a_person_turns_notifications_on_and_off(place: World, page: Page, axe: str) -> None:
    await place.database.execute("DELETE FROM push_subscriptions")
    await _subscribable(page, place)
    await page.look(*PHONE)
    await enter(page, place, "account/notifications")
    await page.see("No devices yet", "main")
    await press(page, "Notify this device")
    await page.see("this one", "main")
    await page.look()
    await pictures(page, "notifications")
    await judge(page, axe, "notifications")
    stored = await place.database.fetchrow("SELECT label, kinds, session_id FROM push_subscriptions")
    assert stored["session_id"]
    assert stored["kinds"] == ["approval", "question", "task", "failed_run"]
    budgets = "[...document.querySelectorAll('main label')].find(one => one.innerText.includes('Budgets'))"
    await page.value(f"{budgets}.querySelector('input').click()")
    await becomes_kinds(place, ["approval", "question", "task", "failed_run", "budget"])
    await press(page, "Test")
    await page.see("A test is on its way", ".notices")
    assert await place.database.fetchval("SELECT count(*) FROM push_notices WHERE entry LIKE 'test:%'") == 1
    await press(page, "Turn off")
    await page.see("No devices yet", "main")
    assert await place.database.fetchval("SELECT count(*) FROM push_subscriptions") == 0
    assert await page.value("localStorage.getItem('crewship.push')") is None
    assert page.complaints == []


async def becomes_kinds(place: World, wanted: list[str]) -> None:
    async with asyncio.timeout(10):
        while await place.database.fetchval("SELECT kinds FROM push_subscriptions") != wanted:
            await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_a_sign_out_ends_the_subscription_of_this_browser(place: World, page: Page) -> None:
    await place.database.execute("DELETE FROM push_subscriptions")
    await _subscribable(page, place)
    await enter(page, place, "account/notifications")
    await press(page, "Notify this device")
    await page.see("this one", "main")
    assert await page.value("localStorage.getItem('crewship.push')")
    await page.value("document.querySelector('.foot button:last-of-type').click()")
    out = "[...document.querySelectorAll('dialog[open] button')].find(one => one.innerText.trim() === 'Sign out')"
    await page.until(out)
    await page.value(f"{out}.click()")
    await page.until("location.pathname === '/login'")
    assert await page.value("localStorage.getItem('crewship.push')") is None
    assert await page.value("PushManager.prototype.getSubscription()") is None
    session = "SELECT s.revoked_at FROM push_subscriptions p JOIN sessions s ON s.id = p.session_id"
    assert await place.database.fetchval(session) is not None, "its owner's session has ended, and with it the right"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("delete globalThis.PushManager", "This browser has no push notifications"),
        ("Object.defineProperty(globalThis, 'isSecureContext', {value: false})", "open the console by https"),
        ("Object.defineProperty(Notification, 'permission', {value: 'denied'})", "This browser blocks notifications"),
    ],
)
async def test_a_browser_that_cannot_says_why(place: World, page: Page, script: str, text: str) -> None:
    await page.command("Page.addScriptToEvaluateOnNewDocument", source=script)
    await enter(page, place, "account/notifications")
    await page.see(text, "main")
    assert not await page.value(button("Notify this device"))
    assert page.complaints == []
