"""Invitations by mail, where mail is configured."""

from datetime import timedelta
from typing import Any

import httpx2
import pytest

from crewship.process.mail import HEADERS
from models.base import new_id
from models.people.workspaces import Invitation, Membership, Role, Workspace
from resolvers.instance.running import instance
from resolvers.people.workspaces.invitations import MOST_A_DAY
from tests.every import each_of
from tests.people.auth.browsers import PASSWORD, Browser
from tests.people.recovery.conftest import PLACE
from tests.people.recovery.mailbox import Mailbox, idle, text_of
from tests.world import World, now

HOST = PLACE.partition("://")[2]
pytestmark = pytest.mark.anyio


async def invite(world: World, workspace: Workspace, email: str) -> httpx2.Response:
    path = f"/api/v1/workspaces/{workspace.id}/invitations"
    return await world.rest(world.owner, "POST", path, {"email": email}, workspace=workspace.id)


async def founded(world: World, name: str) -> Workspace:
    workspace = Workspace(name=name, slug=new_id())
    await world.add(workspace, Membership(workspace_id=workspace.id, user_id=world.owner.user_id, role=Role.OWNER))
    return workspace


async def test_the_mailed_link_is_good(world: World, mailbox: Mailbox) -> None:
    workspace, email = await founded(world, "Harbour"), f"{new_id()}@example.org"
    token = (await invite(world, workspace, email)).json()["token"]
    mail = await mailbox.arrived(email)
    assert mail["subject"] == f'Invitation to the workspace "Harbour" on {HOST}'
    assert f'{world.owner.email} invites you to the workspace "Harbour" on {PLACE}.' in text_of(mail)
    assert await mailbox.link(email) == f"{PLACE}/invitation?token={token}"
    body = {"token": token, "full_name": "Grace Hopper", "password": PASSWORD}
    answer = await Browser(world.url).send("POST", "/api/v1/auth/invitations/signup", json=body)
    assert (answer.status_code, answer.json()["workspace_id"]) == (201, workspace.id)


@each_of(
    ("name", "shown"),
    [
        ("Line\r\nBcc: victim@example.org", "Line Bcc: victim@example.org"),
        ("=?utf-8?q?x=0d=0aBcc:_victim@example.org?=", "= ?utf-8?q?x=0d=0aBcc:_victim@example.org? ="),
        ("=?utf-8?q?x=0d=0a=0d=0aReset?=", "= ?utf-8?q?x=0d=0a=0d=0aReset? ="),
        ('x" on another.example: "y', "x' on another.example: 'y"),
        ("Long " * 40, None),
        ("Häfen 🚢", "Häfen 🚢"),
    ],
)
async def test_a_name_is_one_short_line(world: World, mailbox: Mailbox, name: str, shown: str | None) -> None:
    workspace, email = await founded(world, name), f"{new_id()}@example.org"
    await invite(world, workspace, email)
    mail = await mailbox.arrived(email)
    subject = " ".join(str(mail["subject"]).split())  # as it was before it was folded
    assert subject.startswith('Invitation to the workspace "')
    assert subject.endswith(f'" on {HOST}')
    subject = subject.removeprefix('Invitation to the workspace "').removesuffix(f'" on {HOST}')
    assert HEADERS.issuperset(name.lower() for name in mail.keys())  # noqa: SIM118
    assert "Open this link within seven days" in text_of(mail)
    assert len(subject) <= 60
    assert shown is None or subject == " ".join(shown.split())
    assert (mail["bcc"], mailbox.to("victim@example.org")) == (None, [])


async def test_a_workspace_mails_so_many_a_day(world: World, mailbox: Mailbox) -> None:
    workspace = await founded(world, "Crowd")
    given: dict[str, Any] = {"role": Role.MEMBER, "invited_by": world.owner.user_id, "workspace_id": workspace.id}
    given["expires_at"] = now() + timedelta(days=1)
    await world.add(*(Invitation(email=f"x{n}@example.org", token=new_id(), **given) for n in range(MOST_A_DAY - 1)))
    emails = [f"{new_id()}@example.org" for _ in range(2)]
    for email in emails:
        answer = await invite(world, workspace, email)
        assert answer.status_code == 201
        await idle(world)
    assert [len(mailbox.to(email)) for email in emails] == [1, 0]


async def test_without_mail_the_token_is_handed_over_by_hand(
    world: World, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance, "mailer", None)
    count = "SELECT count(*) FROM dbos.workflow_status"
    before = await world.database.fetchval(count)
    answer = await invite(world, await founded(world, "Harbour"), f"{new_id()}@example.org")
    assert (answer.status_code, len(answer.json()["token"])) == (201, 64)
    assert await world.database.fetchval(count) == before
