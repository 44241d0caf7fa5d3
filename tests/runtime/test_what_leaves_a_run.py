"""A run that shows its secret in every way that it has: no table, event or line of the log has it when it has ended,
and what was taken away from its agent is in no command that begins later.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from models.resources.credentials import CredentialType
from models.staff.agents import LlmProvider, ToolProfile
from models.staff.crews import Crew
from resolvers.identity.caller import Caller
from resolvers.resources.credentials.given import given_to, still_given
from resolvers.rules.redaction import Redactor
from resolvers.staff.runs import work
from resolvers.staff.runs.finishing import finish_run
from runtime.engine.supervisor import Supervisor
from runtime.runs import watching
from runtime.runs.job import Failed, Job, Outcome, Sink
from runtime.runs.keys import CredentialKeys, EnvironmentKeys
from runtime.runs.outfit import InstanceOutfit
from runtime.runs.watching import watched
from tests.runtime.adapters.vendors import Call, Refuses, Says, Vendor, vendor
from tests.runtime.doubles import Does, LocalEngine, Wardrobe
from tests.runtime.estate import Estate, estate_on
from tests.runtime.test_secrets import forms, give
from tests.runtime.test_watching import Deck, deck  # noqa: F401
from tests.runtime.turns import Turn
from tests.world import World, world  # noqa: F401

pytestmark = pytest.mark.anyio
SECRET = "CANARYapi7f3Kq9ZxT1"
KEY = "sk-test-0123456789abcdefghijklmnop"


@pytest.fixture
async def speaker() -> AsyncIterator[Vendor]:
    async with vendor("openai") as made:
        yield made


@pytest.fixture
async def estate(database: Any, tmp_path: Path, speaker: Vendor) -> AsyncIterator[Estate]:
    settings: dict[str, Any] = {"run_adapter": "native", "storage_path": tmp_path / "files", "unsafe_process": True}
    settings |= {"openai_base_url": speaker.base_url, "openai_api_key": SecretStr(KEY)}
    async with estate_on(database, tmp_path, **settings) as made:
        worker = Supervisor(LocalEngine(), InstanceOutfit(made.settings), slots=4)
        await worker.start()
        yield made
        await worker.stop()


async def holder(estate: Estate) -> tuple[Any, str]:
    crew = Crew(name="Deck", slug="deck", workspace_id=estate.workspace.id)
    await estate.add(crew)
    named = {"llm_provider": LlmProvider.OPENAI, "llm_model": "m-1", "tool_profile": ToolProfile.CODING}
    agent = await estate.agent(crew_id=crew.id, **named)
    return agent, await give(estate, agent.id, "MY_KEY", SECRET)


async def rows_with(estate: Estate, *values: str) -> dict[str, int]:
    """How many rows of each table have one of these anywhere."""
    tables = await estate.owner.fetch(
        "SELECT quote_ident(relname) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    found = dict[str, int]()
    for (table,) in tables:
        rows = await estate.owner.fetch(f"SELECT row.*::text AS row FROM {table} AS row")
        count = sum(any(value in row["row"] for value in values) for row in rows)
        if count:
            found[table] = count
    return found


@pytest.mark.slow
async def test_no_table_event_or_line_of_the_log_has_it(estate: Estate, speaker: Vendor) -> None:
    agent, _ = await holder(estate)
    shell = f"mkdir -p {SECRET} && echo $MY_KEY > {SECRET}/f; echo $MY_KEY; rev <{SECRET}/f; base64 <{SECRET}/f >&2"
    speaker.says(
        Says(text=("I see ", SECRET[:7], SECRET[7:], "."), thinking=(f"it is {SECRET}",), calls=(
            Call.of("t1", "run_command", command=shell),
            Call.of("t2", SECRET, argument=SECRET),
            Call.of(SECRET, "read_file", path=f"/output/{SECRET}"),
            Call.of("t4", "write_file", path=f"{SECRET}.txt", content=SECRET),
            Call("t5", "run_command", ('{"command": "', SECRET)),
        )),
        Refuses(500, message=f"no: {SECRET}"),
        Says(text=(f"# {SECRET}\n", " and ".join(forms(SECRET)), json.dumps({"a": json.dumps(SECRET)}))),
    )  # fmt: skip
    with capture_logs() as logs:
        run = await estate.ask("Show it.", await estate.chat(agent))
        ended = await estate.ended(run.id)
        await asyncio.gather(*watching._ending)
    assert ended.status == "COMPLETED", ended.error_message
    assert len(speaker.asked) == 3
    assert await rows_with(estate, *forms(SECRET), SECRET[::-1]) == {}
    assert SECRET not in str(logs)
    answer = str(await estate.answer(str(run.chat_id)))
    assert answer.count("[REDACTED:credential]") >= 8
    written = await estate.owner.fetchval("SELECT count(*) FROM journal_entries WHERE entry_type = 'file.written'")
    assert written == 2
    assert await rows_with(estate, "[REDACTED:credential]/f") != {}
    assert await estate.owner.fetchval("SELECT count(*) FROM run_steps WHERE run_id = $1", run.id) > 5


@pytest.mark.parametrize("how", ["fails", "breaks"])
async def test_how_it_ended_is_told_without_it(database: Any, tmp_path: Path, how: str) -> None:
    async def does(job: Job, sink: Sink) -> Outcome:
        if how == "fails":
            raise Failed(f"no: {SECRET}")
        raise RuntimeError(f"no: {SECRET}")

    async with estate_on(database, tmp_path) as estate:
        with capture_logs() as logs:
            ended = await ends_with(estate, does)
        assert SECRET not in str(logs)
        assert ended.status == "FAILED"
        assert await rows_with(estate, SECRET) == {}
        if how == "breaks":
            [told] = [line for line in logs if line["event"] == "adapter failed"]
            assert "RuntimeError: no: [REDACTED]" in told["exception"]


async def ends_with(estate: Estate, does: Does) -> Any:
    worker = Supervisor(LocalEngine(), Wardrobe(does, SECRET), slots=1)
    await worker.start()
    try:
        return await estate.ended((await estate.ask()).id)
    finally:
        await worker.stop()


async def test_what_steps_have_answered_is_kept_until_the_run_has_ended(database: Any, tmp_path: Path) -> None:
    async with estate_on(database, tmp_path) as estate:
        turn = await Turn.begin(estate)
        sink = await turn.sink()

        async def replies() -> dict[str, str]:
            return {"reply": SECRET}

        await sink.step("model 1", replies)
        turn = await turn.taken_over()
        again = await turn.sink()

        async def never() -> None:
            raise AssertionError("it was done before")

        assert await again.step("model 1", never) == {"reply": SECRET}
        assert await rows_with(estate, SECRET) == {"run_steps": 1}
        end = {"id": turn.claim.run_id, "lease": turn.claim.lease, "status": "FAILED", "error_message": "no"}
        await finish_run(Caller.service("runtime", estate.workspace.id), end)
        assert await rows_with(estate, SECRET) == {}
        [step] = await estate.owner.fetch("SELECT name, outcome FROM run_steps WHERE run_id = $1", turn.claim.run_id)
        assert (step["name"], step["outcome"]) == ("model 1", None)
        assert not await work.append(turn.claim, work.Batch(finished={"late": SECRET}), 0)


# ---- what was taken away ---------------------------------------------------------------------------------------------

TAKEN = {
    "unassigned": "DELETE FROM agent_credentials WHERE credential_id = $1",
    "deleted": "UPDATE credentials SET deleted_at = now() WHERE id = $1",
    "revoked": "UPDATE credentials SET status = 'REVOKED' WHERE id = $1",
    "expired": "UPDATE credentials SET status = 'EXPIRED' WHERE id = $1",
}


@pytest.mark.parametrize("how", TAKEN)
async def test_a_command_that_begins_later_has_it_no_more(estate: Estate, speaker: Vendor, how: str) -> None:
    agent, id = await holder(estate)
    await give(estate, agent.id, "OTHER_KEY", "stays-with-the-agent")
    first = "touch begun; while [ ! -e go ]; do sleep 0.05; done; echo ${#MY_KEY} ${#OTHER_KEY}"
    speaker.says(
        Says(calls=(Call.of("t1", "run_command", command=first),)),
        Says(calls=(Call.of("t2", "run_command", command="echo ${#MY_KEY} ${#OTHER_KEY}"),)),
        Says(text=("Done.",)),
    )
    run = await estate.ask("Go.", await estate.chat(agent))
    async with asyncio.timeout(30):
        while not (begun := list(estate.settings.storage_path.rglob("begun"))):
            await asyncio.sleep(0.02)
    await estate.owner.execute(TAKEN[how], id)
    (begun[0].parent / "go").touch()
    ended = await estate.ended(run.id)
    assert ended.status == "COMPLETED", ended.error_message
    said = [message["content"] for message in speaker.asked[-1]["messages"] if message["role"] == "tool"]
    assert said == [f"Exit code 0\n{len(SECRET)} 20", "Exit code 0\n0 20"]


async def test_who_holds_nothing_is_asked_nothing(estate: Estate) -> None:
    assert await still_given("no workspace", "nobody", []) == []


@pytest.mark.slow
async def test_the_key_of_a_model_that_was_taken_away_is_not_used_again(estate: Estate, speaker: Vendor) -> None:
    agent, _ = await holder(estate)
    fields: dict[str, Any] = {"type": CredentialType.API_KEY, "provider": "OPENAI"}
    id = await give(estate, agent.id, "OPENAI_API_KEY", "sk-own-0123456789abcdefghijkl", **fields)
    keys = CredentialKeys(await given_to(estate.workspace.id, agent.id), EnvironmentKeys(estate.settings), agent.id)
    access = await keys.find(estate.workspace.id, LlmProvider.OPENAI)
    assert access is not None
    assert access.still is not None
    assert await access.still()

    def plays(asked: dict[str, Any]) -> Says:
        return Says(
            calls=(Call.of(f"t{len(speaker.asked)}", "run_command", command=f"sleep 1; echo {len(speaker.asked)}"),)
        )

    speaker.plays = plays
    run = await estate.ask("Go.", await estate.chat(agent))
    async with asyncio.timeout(30):
        while not speaker.asked:
            await asyncio.sleep(0.005)
    await estate.owner.execute(TAKEN["unassigned"], id)
    ended = await estate.ended(run.id)
    assert ended.status == "FAILED"
    assert "no longer has a key for OpenAI" in str(ended.error_message)
    assert len(speaker.asked) == 1
    assert not await access.still()


# ---- names of files --------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_the_name_of_a_file_is_told_without_it(deck: Deck) -> None:  # noqa: F811
    redact = Redactor([SECRET]).beside
    async with watched(deck.job, deck.workdir, redact), watched(deck.job, deck.workdir):
        await asyncio.sleep(0.2)
        (deck.own / SECRET).mkdir()
        deck.write(f"{SECRET}/f", "12345")
        assert await deck.told() == [("file_created", f"{deck.agent.slug}/[REDACTED:credential]/f", 5)]
    async with watched(deck.job, deck.workdir):
        await asyncio.sleep(0.2)
    await deck.ended()
    sql = "SELECT row.*::text FROM journal_entries AS row WHERE crew_id = $1"
    told = str(await deck.world.database.fetch(sql, deck.crew.id))
    assert SECRET not in told
    assert "[REDACTED:credential]/f" in told


async def test_a_run_that_has_ended_had_written_too(deck: Deck) -> None:  # noqa: F811
    """The folder of a crew is watched as long as one of its agents works: what one has written may be found late."""
    async with watched(deck.job, deck.workdir):
        async with watched(deck.job, deck.workdir, Redactor([SECRET]).beside):
            await asyncio.sleep(0.2)
        deck.write(SECRET, "1")
        assert await deck.told() == [("file_created", f"{deck.agent.slug}/[REDACTED:credential]", 1)]
    await deck.ended()


def test_json_of_the_secret_is_one_of_its_forms() -> None:
    assert SECRET not in Redactor([SECRET]).redact(orjson.dumps({"a": orjson.dumps([SECRET]).decode()}).decode())
