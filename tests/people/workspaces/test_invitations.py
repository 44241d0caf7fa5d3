"""REST: invitations, as the contract states them."""

import asyncio
import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from models.people.workspaces import Invitation, Role
from tests.every import each_of
from tests.people.workspaces.calls import at, call, outcome
from tests.world import World, now

pytestmark = pytest.mark.anyio
OPEN = (409, "An invitation for this email is open")


def invitation(world: World, email: str, **given: Any) -> Invitation:
    values = {
        "role": Role.MEMBER,
        "invited_by": world.owner.user_id,
        "token": email,
        "expires_at": now() + timedelta(days=1),
    } | given
    return Invitation(workspace_id=world.workspace.id, email=email, **values)


async def test_an_invitation_is_good_for_seven_days(world: World) -> None:
    answer = await at(world, world.admin, "POST", "/invitations", {"email": "Guest.1+x@Example.co", "role": "VIEWER"})
    made = answer.json()
    assert answer.status_code == 201
    assert made == {
        "id": made["id"],
        "workspace_id": world.workspace.id,
        "email": "Guest.1+x@Example.co",
        "role": "VIEWER",
        "invited_by": world.admin.user_id,
        "token": made["token"],
        "expires_at": made["expires_at"],
        "accepted_at": None,
        "created_at": made["created_at"],
        "inviter": {"id": world.admin.user_id, "email": "admin@example.com", "full_name": "Admin Example"},
    }
    assert re.fullmatch("[0-9a-f]{64}", made["token"])
    assert datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"]) == timedelta(days=7)
    assert [event["type"] for event in await world.events()] == ["invitation.created"]
    (row,) = [row for row in await world.audit() if row["entity_id"] == made["id"]]
    assert (row["action"], row["data"]) == ("invitation.created", {"email": made["email"], "role": "VIEWER"})


async def test_the_list_is_what_nobody_accepted_newest_first(world: World) -> None:
    await world.database.execute("DELETE FROM invitations")
    await world.add(
        invitation(
            world, "old@example.com", created_at=now() - timedelta(days=9), expires_at=now() - timedelta(days=2)
        ),
        invitation(world, "new@example.com", created_at=now() - timedelta(days=1)),
        invitation(world, "accepted@example.com", accepted_at=now()),
    )
    for person in (world.owner, world.admin, world.manager, world.member, world.viewer):
        listed = (await at(world, person, "GET", "/invitations")).json()
        assert [i["email"] for i in listed] == ["new@example.com", "old@example.com"]
        may_invite = person in (world.owner, world.admin)
        assert [i["token"] for i in listed] == (["new@example.com", "old@example.com"] if may_invite else ["", ""])


@each_of(
    ("by", "given", "status"),
    [
        ("owner", "ADMIN", 201),
        ("owner", None, 201),
        ("admin", "MANAGER", 201),
        ("admin", "ADMIN", 403),
        ("owner", "OWNER", 400),
        ("manager", "VIEWER", 403),
        ("member", "VIEWER", 403),
        ("viewer", "VIEWER", 403),
    ],
)
async def test_who_may_offer_which_role(world: World, by: str, given: str | None, status: int) -> None:
    before = await world.snapshot()
    answer = await at(
        world, getattr(world, by), "POST", "/invitations", {"email": f"{by}-{given}@example.net", "role": given}
    )
    assert answer.status_code == status
    if status == 201:
        assert answer.json()["role"] == (given or "MEMBER")
    else:
        assert await world.snapshot() == before


@each_of(
    "change",
    [
        {"email": bad}
        for bad in (None, "", "x", "x@y", "@example.com", "a b@example.com", "a@example.com\n", "a@exämple.com", 1)
    ]
    + [{"role": "BOSS"}],
)
async def test_a_bad_body_is_refused_and_writes_nothing(world: World, change: dict[str, Any]) -> None:
    before = await world.snapshot()
    answer = await at(world, world.owner, "POST", "/invitations", {"email": "a@example.com"} | change)
    assert (answer.status_code, next(iter(answer.json()["fields"]))) == (400, next(iter(change)))
    for person in (world.manager, world.member, world.viewer):
        assert outcome(await at(world, person, "POST", "/invitations", change)) == (403, "Forbidden")
    assert await world.snapshot() == before


async def test_nobody_is_invited_twice(world: World) -> None:
    await world.add(
        invitation(world, "expired@example.com", expires_at=now() - timedelta(seconds=1)),
        invitation(world, "used@example.com", accepted_at=now()),
        invitation(world, "waiting@example.com"),
    )
    before = await world.snapshot()
    assert (
        outcome(
            await at(world, world.owner, "POST", "/invitations", {"email": "waiting@example.com", "role": "VIEWER"})
        )
        == OPEN
    )
    assert outcome(await at(world, world.owner, "POST", "/invitations", {"email": world.viewer.email})) == (
        409,
        "This email belongs to a member",
    )
    no_admin = (403, "Only an owner can assign the role ADMIN")
    for email in ("waiting@example.com", world.viewer.email):  # ADMIN before the email is looked for
        assert (
            outcome(await at(world, world.admin, "POST", "/invitations", {"email": email, "role": "ADMIN"})) == no_admin
        )
    assert await world.snapshot() == before
    # members of other workspaces may be invited
    for email in ("expired@example.com", "used@example.com", world.outsider.email):
        assert (await at(world, world.owner, "POST", "/invitations", {"email": email})).status_code == 201
    # what waits in one workspace does not matter in another
    assert (
        await call(world, world.outsider, "POST", f"/{world.other.id}/invitations", {"email": "waiting@example.com"})
    ).status_code == 201


async def test_of_invitations_sent_at_once_one_is_made(world: World) -> None:
    people = (world.owner, world.admin) * 3
    answers = await asyncio.gather(
        *[at(world, p, "POST", "/invitations", {"email": "contended@example.com"}) for p in people]
    )
    assert sorted(a.status_code for a in answers) == [201, 409, 409, 409, 409, 409]


async def test_a_token_is_not_kept_for_a_second_answer(world: World) -> None:
    sent = {"email": "once@example.com"}
    assert (await at(world, world.owner, "POST", "/invitations", sent, **{"idempotency-key": "one"})).status_code == 201
    again = await at(world, world.owner, "POST", "/invitations", sent, **{"idempotency-key": "one"})
    assert outcome(again) == (
        409,
        ("This request was already processed; its answer contained a secret and was not stored"),
    )
    assert await world.database.fetchval("SELECT count(*) FROM idempotency_keys WHERE body IS NOT NULL") == 0
