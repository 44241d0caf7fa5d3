"""The server about itself: what holds for its operations whatever the surface."""

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from resolvers.identity.caller import Caller
from resolvers.instance.license import LicenseClaims, Licensing, Limit
from resolvers.instance.running import instance
from resolvers.oversight import system
from resolvers.oversight.system import status
from tests.world import World

pytestmark = pytest.mark.anyio
URL = "https://releases.example/v9"
KNOWN = ("current", "latest", "newer", "url")


class Announced:
    """Releases as the outside may tell of them."""

    def __init__(
        self, found: tuple[str, str] | None = None, *, after: asyncio.Event | None = None, fail: Exception | None = None
    ) -> None:
        self.found, self.after, self.fail, self.asked = found, after, fail, 0

    async def latest(self) -> tuple[str, str] | None:
        self.asked += 1
        if self.after is not None:
            await self.after.wait()
        if self.fail is not None:
            raise self.fail
        return self.found


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The one instance of the process is given back as it was."""
    kept = instance.releases, instance._settings, instance._licensing
    yield
    instance.releases, instance._settings, instance._licensing = kept


async def answer(operation: Any, caller: Caller) -> Any:
    made = await operation(caller, {})
    return orjson.loads(made.body)


@pytest.mark.parametrize(
    ("current", "latest", "newer"),
    [
        ("0.1.0", "0.2.0", True),
        ("0.9.0", "0.10.0", True),
        ("0.2.0", "v0.2.0", False),
        ("1.0.0", "1.0.0rc1", False),
        ("source", "9.0", False),
        ("1.0", "tomorrow", False),
    ],
)
async def test_a_release_is_newer_by_its_numbers(
    world: World, monkeypatch: pytest.MonkeyPatch, current: str, latest: str, newer: bool
) -> None:
    monkeypatch.setattr(status, "released", lambda: current)
    instance.releases = Announced((latest, URL))
    found = await answer(system.version, world.viewer.caller)
    assert [found[name] for name in KNOWN] == [current, latest, newer, URL]


SILENT = {
    "unknown": {"found": None},
    "slow": {"found": ("9.0.0", URL), "after": 60},
    "failing": {"fail": OSError("no network")},
}


@pytest.mark.parametrize("answer_of", SILENT.values(), ids=SILENT)
async def test_without_an_answer_nothing_is_known(
    world: World, monkeypatch: pytest.MonkeyPatch, answer_of: dict[str, Any]
) -> None:
    releases = Announced(**answer_of)
    monkeypatch.setattr(status, "RELEASES_PATIENCE", 0.05)
    instance.releases = releases
    found = await answer(system.version, world.viewer.caller)
    assert [found[name] for name in KNOWN] == [system.released(), None, False, None]
    assert releases.asked == 1


async def test_nobody_is_asked_when_the_check_is_off(world: World) -> None:
    instance.releases = releases = Announced(("9.0.0", URL))
    instance._settings = world.settings.model_copy(update={"skip_update_check": True})
    assert (await answer(system.version, world.viewer.caller))["latest"] is None
    assert releases.asked == 0


async def test_no_connection_waits_for_the_outside(world: World) -> None:
    """More calls than the pool has connections wait for the outside, and the database is still there for others."""
    answered = asyncio.Event()
    instance.releases = Announced(("9.0.0", URL), after=answered)
    waiting = [
        asyncio.create_task(answer(system.version, world.viewer.caller)) for _ in range(world.settings.pool_size + 5)
    ]
    await asyncio.sleep(0.3)
    assert (await answer(system.setup_status, Caller.nobody()))["needs_bootstrap"] is False
    assert not any(task.done() for task in waiting)
    answered.set()
    assert {made["latest"] for made in await asyncio.gather(*waiting)} == {"9.0.0"}


async def test_the_license_that_holds_is_shown(world: World) -> None:
    limits = {"max_crews": 15, "max_agents_per_crew": 10, "max_members": 5}
    community = {"edition": "community", "license_id": "community", "licensee_org": "", "features": [], **limits}
    assert await answer(system.license, world.viewer.caller) == community
    claims = LicenseClaims(
        license_id="l-1",
        licensee_org="Org",
        edition="team",
        max_crews=0,
        max_agents_per_crew=50,
        max_members=20,
        features=("sso",),
        issued_at=1,
        expires_at=0,
    )  # type: ignore[arg-type]
    instance._licensing = Licensing(claims, {Limit.members: 7})
    shown = {
        "edition": "team",
        "license_id": "l-1",
        "licensee_org": "Org",
        "max_crews": 0,
        "max_agents_per_crew": 50,
        "max_members": 7,
        "features": ["sso"],
    }
    assert await answer(system.license, world.viewer.caller) == shown
    instance._licensing = Licensing(claims.model_copy(update={"expires_at": 2}), {})
    assert await answer(system.license, world.viewer.caller) == community


@pytest.mark.parametrize("operation", [system.version, system.license])
async def test_only_users_learn_of_release_and_license(world: World, operation: Any) -> None:
    for person in world.people.values():
        assert await answer(operation, person.caller)
    assert (await world.rest(None, "GET", f"/api/v1/{operation.name.replace('.', '/')}")).status_code == 401


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0s"), (0.34, "300ms"), (3723.46, "1h2m3.5s"), (86400.0, "24h0m0s")]
)
async def test_the_uptime_reads_as_go_prints_it(
    world: World, monkeypatch: pytest.MonkeyPatch, seconds: float, text: str
) -> None:
    monkeypatch.setattr(instance, "uptime", lambda: seconds)
    assert (await answer(system.healthz, Caller.nobody()))["uptime"] == text
