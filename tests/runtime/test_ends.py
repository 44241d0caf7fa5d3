"""Work ends with the right to it: nothing of a run begins, and nothing is stored, once the right has gone."""

import asyncio
import contextlib
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from models.base import new_id
from models.people.auth import CliToken, User
from models.people.workspaces import Membership, Role
from models.staff.chats import Chat
from models.staff.crews import Crew
from models.staff.runs import NEVER, Run
from models.work.missions import Assignment, AssignmentStatus
from resolvers.attention.approvals import ask
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller
from resolvers.identity.credentials import bearer
from resolvers.instance.crypto import new_cli_token
from resolvers.instance.running import instance
from resolvers.oversight.admin.erasure import erase_person
from resolvers.people.account.password import delete_account
from resolvers.people.workspaces.members import remove_member
from resolvers.staff.agents.agents import delete_agent
from resolvers.staff.crews.crews import delete_crew
from resolvers.staff.runs import ending, work
from runtime.engine.background import carried
from runtime.engine.liveness import Rhythm
from runtime.engine.service import Runtime
from runtime.runs.job import Job, Outcome, Sink
from tests.runtime.doubles import E, Wardrobe, speaks
from tests.runtime.estate import Estate
from tests.runtime.shop import DONE, Shop, until

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_waits")]
RHYTHM = Rhythm(sweep=0.2, patience=0.5, measure=0.2, retry=0.1)
PASSWORD = "correct horse battery staple"


@dataclass
class Busy:
    """Calls its model and its tools in turn, without an end; says what it was asked. `begun`: when each has begun."""

    pause: float = 0.02
    begun: list[float] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)

    async def __call__(self, job: Job, sink: Sink) -> Outcome:
        try:
            for turn in range(10_000):
                await sink.step(f"{turn} model", lambda: self._model(sink, job))
                await sink.step(f"{turn} tool", self._tool, acts=True)
        finally:
            self.ends.append(job.run_id)
        return Outcome()

    async def _model(self, sink: Sink, job: Job) -> None:
        self.begun.append(time.monotonic())
        await sink.emit(E.text, f"I was told {job.prompt} ")
        await asyncio.sleep(self.pause)

    async def _tool(self) -> str:
        self.begun.append(time.monotonic())
        await asyncio.sleep(self.pause)
        return "done"


@contextlib.asynccontextmanager
async def working(estate: Estate, does: Any) -> AsyncIterator[Runtime]:
    runtime = Runtime(estate.settings, Wardrobe(does), jobs=carried(), rhythm=RHYTHM)
    await runtime.start()
    try:
        yield runtime
    finally:
        await runtime.stop()


@dataclass(frozen=True)
class Person:
    """`word`: one that nobody else has."""

    id: str
    name: str
    caller: Caller
    word: str = field(default_factory=lambda: f"zanzibar{secrets.token_hex(6)}")


async def member(estate: Estate, role: Role = Role.MEMBER, password: str | None = None) -> Person:
    token, name = new_cli_token("STANDARD"), f"Persona {secrets.token_hex(6)}"  # type: ignore[arg-type]
    hashed = None if password is None else await instance.passwords.hash(password, "")
    here = estate.workspace.id  # which has made the account, and may delete it
    email = f"{secrets.token_hex(6)}@example.com"
    user = User(email=email, full_name=name, password_hash=hashed, founded_in=here)
    token_hash = hashlib.sha256(token.encode()).hexdigest()
    await estate.add(user, CliToken(user_id=user.id, name="test", token_hash=token_hash))
    await estate.add(Membership(workspace_id=here, user_id=user.id, role=role, accepted_at=datetime.now(UTC)))
    return Person(user.id, name, bearer(token))


async def asks(estate: Estate, person: Person, **agent: Any) -> Run:
    """A message of the person, with the word of theirs."""
    chat = await estate.chat(await estate.agent(**agent), created_by=person.id)
    await estate.say(person.caller, chat.id, f"{person.word} of {person.name}")
    return Run(**dict(await estate._row("SELECT * FROM runs WHERE chat_id = $1", chat.id)))


async def called(estate: Estate, operation: Any, by: Caller | None = None, **data: Any) -> None:
    await operation(by or estate.caller, data, place=estate.workspace.id)


async def of_crew(estate: Estate) -> Crew:
    crew = Crew(workspace_id=estate.workspace.id, name="Deck", slug=f"deck-{new_id()[-8:]}")
    await estate.add(crew)
    return crew


async def left(estate: Estate, text: str) -> dict[str, int]:
    """How many rows of each table hold a text anywhere."""
    tables = await estate.owner.fetch(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
    )
    found = {}
    for (table,) in tables:
        sql = f"SELECT count(*) FROM \"{table}\" t WHERE to_jsonb(t)::text ILIKE '%' || $1 || '%'"
        if number := await estate.owner.fetchval(sql, text):
            found[table] = number
    return found


async def events_of(estate: Estate, run: Run) -> list[str]:
    return [type for type, payload in await estate.events() if payload.get("run_id") == run.id]


# ---- nothing begins ----------------------------------------------------------------------------------------------


async def agent_goes(estate: Estate, person: Person, run: Run) -> None:
    await called(estate, delete_agent, id=run.agent_id)


async def crew_goes(estate: Estate, person: Person, run: Run) -> None:
    crew_id = await estate.owner.fetchval("SELECT crew_id FROM agents WHERE id = $1", run.agent_id)
    await called(estate, delete_crew, id=crew_id)


async def person_goes(estate: Estate, person: Person, run: Run) -> None:
    await called(estate, remove_member, id=person.id)


async def person_is_erased(estate: Estate, person: Person, run: Run) -> None:
    await called(estate, erase_person, user_id=person.id, reason="asked by mail")


async def account_goes(estate: Estate, person: Person, run: Run) -> None:
    await delete_account(person.caller, {"password": PASSWORD})


WAYS = [
    (agent_goes, ending.WHY["agent"]),  # type: ignore[index]
    (crew_goes, ending.WHY["crew"]),  # type: ignore[index]
    (person_goes, ending.WHY["person"]),  # type: ignore[index]
    (person_is_erased, None),
    (account_goes, None),
]


@pytest.mark.slow
@pytest.mark.parametrize(("go", "why"), WAYS, ids=lambda value: getattr(value, "__name__", ""))
async def test_nothing_of_a_run_begins_after_the_answer(
    estate: Estate, go: Callable[..., Awaitable[None]], why: str | None
) -> None:
    person, crew, busy = await member(estate, password=PASSWORD), await of_crew(estate), Busy()
    async with working(estate, busy):
        run = await asks(estate, person, crew_id=crew.id)
        await until(lambda: len(busy.begun) > 4)
        await go(estate, person, run)
        answered, begun = time.monotonic(), len(busy.begun)
        assert busy.ends == [run.id], "the answer waits for the worker"
        assert (await estate.run(run.id)).status == "CANCELLED"
        async with asyncio.timeout(20):
            while "run.failed" not in await events_of(estate, run):
                await asyncio.sleep(0.02)
        assert len(busy.begun) == begun
        assert max(busy.begun) < answered
    ended = await estate.run(run.id)
    assert ended.finished_at is not None
    assert why is None or ended.error_message == why
    assert (await events_of(estate, run)).count("run.failed") == 1
    frames = [{k: v for k, v in frame.items() if k != "seq"} for frame in await estate.frames(str(run.chat_id))]
    assert frames[-1:] == [DONE] or go in (person_is_erased, account_goes)
    assert [m for m in await estate.messages(str(run.chat_id)) if m["role"] == "assistant"] == []
    status = await estate.owner.fetchval("SELECT status FROM agents WHERE id = $1", run.agent_id)
    assert status == ("RUNNING" if go is agent_goes else "IDLE"), "an agent that is gone is left alone"


async def test_runs_of_others_go_on(estate: Estate, shop: Shop) -> None:
    leaver, stayer, busy = await member(estate), await member(estate), Busy()
    crew = await of_crew(estate)
    async with working(estate, busy):
        theirs, other = [await asks(estate, person, crew_id=crew.id) for person in (leaver, stayer)]
        await until(lambda: len(busy.begun) > 8)
        await called(estate, remove_member, id=leaver.id)
        assert busy.ends == [theirs.id]
        begun = len(busy.begun)
        await until(lambda: len(busy.begun) > begun + 2)
        assert (await estate.run(other.id)).status == "RUNNING"
        bystander = await estate.agent(crew_id=crew.id)
        await called(estate, delete_agent, id=bystander.id)
        await called(estate, delete_crew, id=(await of_crew(estate)).id)
        assert (await estate.run(other.id)).status == "RUNNING"


async def test_a_run_that_waits_for_a_worker_is_never_begun(estate: Estate) -> None:
    person, busy = await member(estate), Busy()
    run = await asks(estate, person)
    await called(estate, remove_member, id=person.id)
    async with working(estate, busy):
        other = await estate.ask()
        await until(lambda: busy.begun)
        await estate.cancel(str(other.chat_id))
    assert run.id not in busy.ends
    assert (await estate.run(run.id)).status == "CANCELLED"


async def test_a_worker_that_is_gone_is_not_waited_for(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "LONGEST_WAIT", 0.3)
    person = await member(estate)
    run = await asks(estate, person)
    [claim] = await work.claim("gone", 1, seconds=60.0)
    began = time.monotonic()
    await called(estate, remove_member, id=person.id)
    assert time.monotonic() - began < 5
    assert (await estate.run(run.id)).status == "CANCELLED"
    batch = work.Batch(frames=[{"type": "text", "content": person.word}])
    assert await work.append(claim, batch, 0) is False
    assert await work.written(claim) is None


# ---- what a run has given others to do -----------------------------------------------------------------------------


async def test_what_the_run_has_given_others_ends_with_it(estate: Estate) -> None:
    person, busy, helper = await member(estate), Busy(), await estate.agent()
    async with working(estate, busy):
        run = await asks(estate, person)
        given = Assignment(
            workspace_id=estate.workspace.id, chat_id=run.chat_id, assigned_by_id=run.agent_id,
            assigned_to_id=helper.id, task=person.word, status=AssignmentStatus.RUNNING,
        )  # fmt: skip
        child = Run(agent_id=helper.id, workspace_id=estate.workspace.id, assignment_id=given.id, prompt="help")
        await estate.add(given, child)
        await until(lambda: len(busy.begun) > 4)
        await called(estate, remove_member, id=person.id)
        assert (await estate.run(child.id)).status == "CANCELLED"
        assert run.id in busy.ends
        begun = len(busy.begun)
        await asyncio.sleep(0.3)
        assert len(busy.begun) == begun


async def test_an_assignment_that_waits_ends_with_the_crew_of_its_agent(estate: Estate) -> None:
    crew = await of_crew(estate)
    lead, helper = [await estate.agent(crew_id=crew.id) for _ in range(2)]
    chat = await estate.chat(lead)
    waiting = Assignment(
        workspace_id=estate.workspace.id, chat_id=chat.id, assigned_by_id=lead.id, assigned_to_id=helper.id,
        task="wait", status=AssignmentStatus.QUEUED,
    )  # fmt: skip
    await estate.add(waiting)
    await called(estate, delete_crew, id=crew.id)
    row = await estate._row("SELECT status, error_message FROM assignments WHERE id = $1", waiting.id)
    assert tuple(row) == ("FAILED", ending.WHY["crew"])  # type: ignore[index]


# ---- nothing is stored -----------------------------------------------------------------------------------------------


@dataclass
class Staged:
    """A run that stops at one of its steps, and goes on when it is told to, if it can."""

    stage: str
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, job: Job, sink: Sink) -> Outcome:
        await sink.step("1 model", lambda: self._says(sink, job, "model"))
        await sink.step("1 tool", lambda: self._says(sink, job, "tool"), acts=True)
        if self.stage == "between":
            await self._stops()
        await sink.step("result", lambda: self._says(sink, job, "result"))
        if self.stage == "end":
            await self._stops()
        return Outcome(data={"said": job.prompt})

    async def _says(self, sink: Sink, job: Job, stage: str) -> str:
        await sink.emit(E.text, f"You said {job.prompt}. ")
        if stage == self.stage:
            await self._stops()
            await sink.emit(E.text, f"Again: {job.prompt}. ")
        return job.prompt

    async def _stops(self) -> None:
        """It takes no notice of being called off for a moment, as what ends badly does."""
        self.reached.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(5)


STAGES = ["waits", "model", "tool", "between", "result", "end", "ended", "parked"]


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
async def test_an_erased_person_has_no_words_again_once_the_run_would_have_ended(estate: Estate, stage: str) -> None:
    person, staged = await member(estate), Staged(stage)
    assert await left(estate, person.word) == {}
    if stage == "waits":
        run = await asks(estate, person)
        await called(estate, erase_person, user_id=person.id, reason="asked")
    async with working(estate, staged):
        if stage != "waits":
            run = await asks(estate, person)
            if stage in ("ended", "parked"):
                await estate.ended(run.id)
            else:
                await asyncio.wait_for(staged.reached.wait(), 20)
            if stage == "parked":
                parked = "UPDATE runs SET status = 'RUNNING', finished_at = NULL, leased_until = $2 WHERE id = $1"
                await estate.owner.execute(parked, run.id, NEVER)
            assert {"messages", "runs"} <= (await left(estate, person.word)).keys()
            await called(estate, erase_person, user_id=person.id, reason="asked")
        assert await left(estate, person.word) == {}
        assert await left(estate, person.name) == {}
        other = await estate.ask("another")  # the worker is alive, and has nothing to add
        if stage in ("waits", "ended", "parked"):
            await estate.ended(other.id)
        await asyncio.sleep(0.5)
    assert await left(estate, person.word) == {}
    assert await left(estate, person.name) == {}
    assert (await estate.run(run.id)).status in ("CANCELLED", "COMPLETED")


async def test_words_in_a_chat_of_several_end_its_run(estate: Estate) -> None:
    """Another's run has read them, and might say them again."""
    person, busy = await member(estate), Busy()
    chat = await estate.chat(created_by=estate.user_id)
    await estate.add(
        *[_message(estate, chat, number, person) for number in (1,)],
    )
    await estate.owner.execute("UPDATE chats SET last_message_seq = 1 WHERE id = $1", chat.id)
    async with working(estate, busy):
        run = await estate.ask("what was said?", chat)
        await until(lambda: busy.begun)
        await called(estate, erase_person, user_id=person.id, reason="asked")
        assert busy.ends == [run.id]
    assert (await estate.run(run.id)).error_message == ending.FORGOTTEN


def _message(estate: Estate, chat: Chat, seq: int, person: Person) -> Any:
    from models.staff.chats import Message, MessageRole

    return Message(
        workspace_id=estate.workspace.id, chat_id=chat.id, seq=seq, role=MessageRole.user, content="mine",
        author_user_id=person.id, agent_id=chat.agent_id,
    )  # fmt: skip


async def test_what_is_written_for_a_run_is_refused_once_it_has_ended(estate: Estate, shop: Shop) -> None:
    await shop.worker(speaks)
    run = await estate.ask()
    await estate.ended(run.id)
    by = Caller.service("runtime", estate.workspace.id, run.id)
    asked = {
        "run_id": run.id, "call": "1 tool 1", "kind": "tool_call", "reason": "r", "mode": "sync", "tool": "t",
        "arguments": {"text": "t"},
    }  # fmt: skip
    with pytest.raises(Refusal) as refused:
        await ask(by, asked)
    assert refused.value.code is Code.CONFLICT
    assert await estate.owner.fetchval("SELECT count(*) FROM approvals WHERE run_id = $1", run.id) == 0
    await shop.open.pop().stop()
    live = await estate.ask()
    await ask(Caller.service("runtime", estate.workspace.id, live.id), asked | {"run_id": live.id})
    assert await estate.owner.fetchval("SELECT count(*) FROM approvals WHERE run_id = $1", live.id) == 1


# ---- nothing starts any more -----------------------------------------------------------------------------------------


async def test_who_is_being_removed_starts_nothing(estate: Estate) -> None:
    """The gate was passed before the removal was committed."""
    person = await member(estate)
    chat = await estate.chat(await estate.agent(), created_by=person.id)
    transaction = estate.owner.transaction()
    await transaction.start()
    await estate.owner.execute("DELETE FROM memberships WHERE user_id = $1", person.id)
    sending = asyncio.create_task(estate.say(person.caller, chat.id, person.word))
    try:
        await asyncio.sleep(0.3)
        assert not sending.done(), "it waits for the removal"
    finally:
        await transaction.commit()
    with pytest.raises(Refusal) as refused:
        await asyncio.wait_for(sending, 10)
    assert refused.value.code is Code.FORBIDDEN
    assert await left(estate, person.word) == {}
