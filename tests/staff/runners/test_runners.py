"""Runners: one process a token, calls that are taken and ended once, and what reaches the machine."""

import asyncio
import time
from typing import Any
from unittest import mock

import orjson
import pytest

from models.resources.credentials import AgentCredential, Credential, CredentialType
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.staff.runners import MOST_PIECE, MOST_PIECES, MOST_STORED
from models.staff.runs import Run
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller
from resolvers.kernel.store.across import Everywhere
from resolvers.kernel.store.database import Database
from resolvers.resources.credentials.given import given_to
from resolvers.staff.runners import polling
from resolvers.staff.runners.calls import AskedTool, GivenToCall, follow_call, piece_shown, send_call, withdraw_call
from runtime.runners import remote
from runtime.runners.executing import LONGEST_LINE, LiveOutput
from runtime.runs.job import Failed
from tests.sealing import sealed_before
from tests.world import World

pytestmark = pytest.mark.anyio
ONE, TWO = "1" * 64, "2" * 64


class Machine:
    """A process with a token."""

    def __init__(self, world: World, token: str, instance: str = ONE) -> None:
        self.world, self.whose = world, {"token": token, "instance": instance}

    async def ask(self, path: str, status: int = 200, **body: Any) -> Any:
        answer = await self.world.rest(None, "POST", f"/api/v1/runner/{path}", self.whose | body, workspace=None)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def connect(self) -> "Machine":
        self.whose = self.whose | {"generation": (await self.ask("connect"))["generation"]}
        return self

    async def poll(self) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = (await self.ask("calls/poll", room=4, wait=0))["calls"]
        return calls

    async def report(self, id: str, **more: Any) -> dict[str, Any]:
        state: dict[str, Any] = (await self.ask("calls/report", calls=[{"id": id, **more}]))["calls"][0]
        return state


async def crew_with_agent(world: World, name: str) -> tuple[Crew, Agent, Run]:
    crew = Crew(workspace_id=world.workspace.id, name=name, slug=name)
    agent = Agent(workspace_id=world.workspace.id, crew_id=crew.id, name=name, slug=name)
    run = Run(workspace_id=world.workspace.id, agent_id=agent.id)
    await world.add(crew, agent, run)
    return crew, agent, run


async def register(world: World, crew: Crew) -> dict[str, Any]:
    body = {"name": crew.slug, "crew_id": crew.id}
    answer = await world.rest(world.admin, "POST", "/api/v1/runners", body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def send(world: World, runner_id: str, agent: Agent, run: Run, step: str, *given: GivenToCall) -> str:
    asked = AskedTool(
        agent_id=agent.id, agent_slug=agent.slug, crew_id=agent.crew_id, profile="CODING", restricted=False,
        tool="run_command", arguments={"command": "true"}, given=list(given),
    )  # fmt: skip
    sent = {"run_id": run.id, "step": step, "runner_id": runner_id, "agent_id": agent.id}
    sent["asked"] = orjson.dumps(asked.model_dump()).decode()
    answer = await send_call(Caller.service("runtime", world.workspace.id, run.id), sent)
    return str(orjson.loads(answer.body or b"{}")["call_id"])


async def test_a_copied_token_is_refused(world: World) -> None:
    crew, _, _ = await crew_with_agent(world, "copied")
    made = await register(world, crew)
    first = await Machine(world, made["token"]).connect()
    copy = Machine(world, made["token"], TWO)
    await copy.ask("connect", 409)
    shown = (await world.rest(world.admin, "GET", f"/api/v1/runners/{made['id']}")).json()
    assert (shown["connected"], shown["refused_at"] is not None) == (True, True)
    await copy.ask("calls/poll", 409, generation=1, wait=0)
    await first.ask("disconnect")
    await copy.connect()
    await first.ask("calls/poll", 409, wait=0)


async def test_a_wrong_or_revoked_token_opens_nothing(world: World) -> None:
    crew, _, _ = await crew_with_agent(world, "revoked")
    made = await register(world, crew)
    for forged in ("x", made["token"][:-1] + ("0" if made["token"][-1] != "0" else "1"), made["token"] + "0"):
        await Machine(world, forged).ask("connect", 401)
    with mock.patch.object(Database, "lease", side_effect=AssertionError("the database was asked")):
        await Machine(world, forged).ask("connect", 401)
    machine = await Machine(world, made["token"]).connect()
    answer = await world.rest(world.manager, "DELETE", f"/api/v1/runners/{made['id']}")
    assert answer.status_code == 403
    answer = await world.rest(world.admin, "DELETE", f"/api/v1/runners/{made['id']}")
    assert answer.status_code == 200
    await machine.ask("calls/poll", 401, wait=0)
    await machine.ask("connect", 401)
    assert [row["action"] for row in await world.audit()][-2:] == ["runner.created", "runner.revoked"]


async def test_a_call_is_taken_shown_and_ended_once(world: World) -> None:
    crew, agent, run = await crew_with_agent(world, "once")
    made, place = await register(world, crew), world.workspace.id
    machine = await Machine(world, made["token"]).connect()
    id = await send(world, made["id"], agent, run, "1 tool 1")
    assert await send(world, made["id"], agent, run, "1 tool 1") == id
    assert [call["id"] for call in await machine.poll()] == [id]
    assert await machine.poll() == []
    assert await machine.report(id) == {"id": id, "goes_on": True, "seq": 0}
    assert not await withdraw_call(place, id), "it has begun"
    assert (await machine.report(id, seq=1, output="one\n"))["seq"] == 1
    assert (await machine.report(id, seq=2, output="two\n"))["seq"] == 1, "the first was not shown yet"
    found = await follow_call(place, id, 0)
    assert (found.seq, found.output) == (1, "one\n")
    await piece_shown(place, id, 1)
    assert (await machine.report(id, seq=1, output="one\n"))["seq"] == 1
    assert (await machine.report(id, seq=2, output="two\n"))["seq"] == 2
    for content in ("done", "done again"):
        state = await machine.report(id, outcome={"content": content, "is_error": False})
        assert state["goes_on"] is False
    ended = await follow_call(place, id, 2)
    assert ended.outcome is not None
    assert ended.outcome.content == "done"


async def test_the_output_of_a_call_has_bounds(world: World) -> None:
    """Of each piece, of their number, of all of them together, and of one report."""
    crew, agent, run = await crew_with_agent(world, "bounds")
    made, place = await register(world, crew), world.workspace.id
    machine = await Machine(world, made["token"]).connect()
    id = await send(world, made["id"], agent, run, "step")
    await machine.poll()
    await machine.report(id)
    too_large, too_many = [
        {"id": id, "seq": seq, "output": "x" * size} for seq, size in ((1, MOST_PIECE + 1), (MOST_PIECES + 1, 1))
    ]
    twice = [{"id": id, "seq": 1, "output": "a"}, {"id": id, "seq": 1, "output": "b"}]
    ended = [{"id": id, "outcome": {"content": "over"}}, {"id": id, "seq": 1, "output": "a"}]
    many = [{"id": f"{id}{number}"} for number in range(17)]
    for calls in ([too_large], [too_many], twice, ended, many):
        await machine.ask("calls/report", 400, calls=calls)
    assert (await follow_call(place, id, 0)).output == ""
    whole = MOST_STORED // MOST_PIECE
    for seq in range(1, whole + 1):
        assert (await machine.report(id, seq=seq, output="x" * MOST_PIECE))["seq"] == seq
        await piece_shown(place, id, seq)
    rest = MOST_STORED % MOST_PIECE
    more = {"seq": whole + 1, "output": "y" * (rest + 1)}
    assert await machine.report(id, **more) == {"id": id, "goes_on": True, "seq": whole}
    assert (await machine.report(id, seq=whole + 1, output="y" * rest))["seq"] == whole + 1
    state = await machine.report(id, outcome={"content": "done"})
    assert state["goes_on"] is False
    outcome = (await follow_call(place, id, whole + 1)).outcome
    assert outcome is not None
    assert outcome.content == "done"


async def test_a_look_at_a_call_reads_the_text_that_it_shows(world: World) -> None:
    crew, agent, run = await crew_with_agent(world, "lean")
    made, place = await register(world, crew), world.workspace.id
    machine = await Machine(world, made["token"]).connect()
    id = await send(world, made["id"], agent, run, "step")
    await machine.poll()
    await machine.report(id)
    await machine.report(id, seq=1, output="one")
    read = list[str]()
    report = Everywhere.report

    async def noted(self: Any, statement: Any) -> Any:
        rows = await report(self, statement)
        read.extend({"shown", "outcome"} & {name for row in rows for name in dict(row)})
        return rows

    with mock.patch.object(Everywhere, "report", noted):
        assert (await follow_call(place, id, 0)).output == "one"
        assert (await follow_call(place, id, 1)).output == ""
        await machine.report(id, outcome={"content": "done"})
        assert (await follow_call(place, id, 0)).output == "one"
        assert (await follow_call(place, id, 1)).outcome is not None
    assert read == ["shown", "shown", "outcome"]


async def test_an_idle_runner_writes_when_half_of_its_lease_has_passed(world: World) -> None:
    crew, _, _ = await crew_with_agent(world, "idle")
    made = await register(world, crew)
    machine = await Machine(world, made["token"]).connect()
    find = "SELECT connected_until, xmax::text, ctid::text FROM runners WHERE id = $1"
    left = "UPDATE runners SET connected_until = now() + make_interval(secs => $2) WHERE id = $1 RETURNING ctid::text"
    await world.database.execute(left, made["id"], 22.0)
    before = await world.database.fetchrow(find, made["id"])
    with mock.patch.object(polling, "LOOK", 0.05):
        await machine.ask("calls/poll", room=4, wait=1)
    after = await world.database.fetchrow(find, made["id"])
    assert (after["connected_until"], after["ctid"]) == (before["connected_until"], before["ctid"])
    await world.database.execute(left, made["id"], 19.0)
    await machine.poll()
    assert await world.database.fetchval("SELECT connected_until > now() + interval '35 s' FROM runners WHERE id = $1",
        made["id"])  # fmt: skip


async def test_a_call_that_comes_right_after_the_first_look_is_given_at_once(world: World) -> None:
    crew, agent, run = await crew_with_agent(world, "at-once")
    made = await register(world, crew)
    machine = await Machine(world, made["token"]).connect()
    take, sent = polling._take, list[str]()

    async def then_send(*given: Any) -> Any:
        taken = await take(*given)
        if not sent:
            sent.append(await send(world, made["id"], agent, run, "step"))
        return taken

    began = time.monotonic()
    with mock.patch.object(polling, "_take", then_send), mock.patch.object(polling, "LOOK", 60.0):
        calls = (await machine.ask("calls/poll", room=1, wait=15))["calls"]
    assert [call["id"] for call in calls] == sent
    assert time.monotonic() - began < 10


async def test_a_call_waits_for_a_runner_a_while_and_is_not_executed(world: World) -> None:
    """The time counts from the end of the last lease, and from the call."""
    crew, agent, run = await crew_with_agent(world, "away")
    made, place = await register(world, crew), world.workspace.id
    machine = await Machine(world, made["token"]).connect()
    id = await send(world, made["id"], agent, run, "step")
    job: Any = mock.Mock(workspace_id=place)
    calls = remote.RunnerCalls(job, made["id"], [])
    assert remote.AWAY == 60
    assert "60 seconds" in remote.NOT_CONNECTED
    ago = "UPDATE runners SET connected_until = now() - make_interval(secs => $2) WHERE id = $1"
    old = "UPDATE runner_calls SET created_at = now() - interval '1 hour' WHERE id = $1"
    await world.database.execute(old, id)
    await world.database.execute(ago, made["id"], 50.0)
    with mock.patch.object(remote, "LOOK", 0.05), pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await calls.next(id, 0)
    await world.database.execute(ago, made["id"], 61.0)
    with pytest.raises(Failed) as failed:
        await calls.next(id, 0)
    assert str(failed.value) == remote.NOT_CONNECTED
    machine = await Machine(world, made["token"], TWO).connect()
    assert await machine.poll() == []


async def test_a_lease_that_ends_loses_what_was_begun_and_nothing_else(world: World) -> None:
    crew, agent, run = await crew_with_agent(world, "lost")
    made, place = await register(world, crew), world.workspace.id
    machine = await Machine(world, made["token"]).connect()
    begun, taken = [await send(world, made["id"], agent, run, step) for step in ("begun", "taken")]
    await machine.poll()
    await machine.report(begun)
    past = "UPDATE runner_calls SET leased_until = now() - interval '1 second' WHERE run_id = $1"
    await world.database.execute(past, run.id)
    assert (await machine.report(begun, outcome={"content": "late"}))["goes_on"] is False
    assert "stopped answering" in (await follow_call(place, begun, 0)).failed
    assert (await follow_call(place, taken, 0)).failed == ""
    assert [call["id"] for call in await machine.poll()] == [taken]


async def test_another_crews_agent_is_not_sent_there(world: World) -> None:
    crew, agent, run = await crew_with_agent(world, "own")
    _, stranger, other = await crew_with_agent(world, "stranger")
    made = await register(world, crew)
    with pytest.raises(Refusal) as refused:
        await send(world, made["id"], stranger, other, "step")
    assert refused.value.code is Code.FORBIDDEN
    await world.rest(world.admin, "PATCH", f"/api/v1/runners/{made['id']}", {"in_use": False})
    with pytest.raises(Refusal) as refused:
        await send(world, made["id"], agent, run, "step")
    assert refused.value.code is Code.FORBIDDEN


async def test_only_allowed_credentials_leave_the_server(world: World) -> None:
    crew, agent, run = await crew_with_agent(world, "secrets")
    made, place = await register(world, crew), world.workspace.id
    machine, held = await Machine(world, made["token"]).connect(), list[Credential]()
    for name in ("OPEN_KEY", "CLOSED_KEY"):
        held.append(Credential(workspace_id=place, name=f"{name} of runners", type=CredentialType.GENERIC_SECRET))
        sealed = sealed_before(f"value of {name}", table=Credential, column="value", row_id=held[-1].id)
        held[-1].__dict__["value"] = sealed
        tie = AgentCredential(workspace_id=place, agent_id=agent.id, credential_id=held[-1].id, env_var_name=name)
        await world.add(held[-1], tie)
    path = f"/api/v1/credentials/{held[0].id}/on-runners"
    assert (await world.rest(world.manager, "PUT", path, {"on_runners": True})).status_code == 403
    assert (await world.rest(world.admin, "PUT", path, {"on_runners": True})).json()["on_runners"] is True
    given = [
        GivenToCall(credential_id=each.credential_id, type=each.type, variable=each.variable, value=each.value)
        for each in await given_to(place, agent.id)
    ]
    assert len(given) == 2
    await send(world, made["id"], agent, run, "one", *given)
    assert [call["environment"] for call in await machine.poll()] == [{"OPEN_KEY": "value of OPEN_KEY"}]
    await world.rest(world.admin, "PUT", path, {"on_runners": False})
    await send(world, made["id"], agent, run, "two", *given)
    assert [call["environment"] for call in await machine.poll()] == [{}]


def test_live_output_has_whole_lines() -> None:
    live = LiveOutput()
    live.hear(1, b"a secret in tw")
    assert live.take(100) == ""
    live.hear(2, b"error\n")
    live.hear(1, b"o pieces\nrest")
    assert live.take(100) == "error\na secret in two pieces\n"
    live.hear(1, b"x" * (LONGEST_LINE + 1) + b"\nshort\n")
    assert live.take(100) == "short\n"
