"""An agent of our own loop uses a secret that it never sees: by the keeper's leave, in its sandbox, from end to end."""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from models.resources.credentials import CredentialType
from models.staff.agents import LlmProvider, ToolProfile
from models.staff.crews import Crew
from models.staff.runs import Run
from resolvers.kernel import instance
from resolvers.resources.credentials.given import given_to
from resolvers.rules.redaction import Redactor
from runtime.engine.supervisor import Supervisor
from runtime.oversight.keeper_commands import SandboxedCommands
from runtime.runs.keeper_tools import ASK, RUN, keeper_tools
from runtime.runs.outfit import InstanceOutfit
from runtime.sandbox import Unconfined
from tests.oversight.keeper.conftest import INTENT, ScriptedModel, model, verdict  # noqa: F401
from tests.runtime.adapters.sinks import job as a_job
from tests.runtime.adapters.vendors import Call, Says, Vendor, vendor
from tests.runtime.doubles import LocalEngine
from tests.runtime.estate import Estate, estate_on
from tests.runtime.test_secrets import forms, give

pytestmark = pytest.mark.anyio
VALUE = "canary/5e1f+7-of-the-keeper"
KEY = "sk-test-0123456789abcdefghijklmnop"
PRINTS = "printenv HARBOUR_KEY"


@pytest.fixture
async def speaker() -> AsyncIterator[Vendor]:
    async with vendor("openai") as made:
        yield made


@pytest.fixture
async def estate(database: Any, tmp_path: Path, speaker: Vendor) -> AsyncIterator[Estate]:
    settings: dict[str, Any] = {"run_adapter": "native", "storage_path": tmp_path / "files", "unsafe_process": True}
    settings |= {"openai_base_url": speaker.base_url, "openai_api_key": SecretStr(KEY)}
    settings |= {"keeper_switch": True, "keeper_model": "judge", "keeper_address": "http://127.0.0.1:9"}
    async with estate_on(database, tmp_path, **settings) as made:
        instance.commands = SandboxedCommands(made.settings)
        worker = Supervisor(LocalEngine(), InstanceOutfit(made.settings), slots=4)
        await worker.start()
        yield made
        await worker.stop()
        instance.commands = None


async def hold(estate: Estate, **fields: Any) -> Any:
    """An agent with a crew, who holds a secret of level 1."""
    crew = Crew(name="Deck", slug="deck", workspace_id=estate.workspace.id)
    await estate.add(crew)
    named = {"llm_provider": LlmProvider.OPENAI, "llm_model": "m-1", "tool_profile": ToolProfile.CODING}
    agent = await estate.agent(crew_id=crew.id, **named | fields)
    await give(estate, agent.id, "HARBOUR_KEY", VALUE)
    return agent


async def turn(estate: Estate, agent: Any) -> Run:
    run = await estate.ask("List the ships.", await estate.chat(agent))
    return await estate.ended(run.id)


def heard(speaker: Vendor) -> list[str]:
    """What the agent's model has read of its tools."""
    return [message["content"] for message in speaker.asked[-1]["messages"] if message["role"] == "tool"]


async def nowhere(estate: Estate, speaker: Vendor, run: Run) -> None:
    chat = str(run.chat_id)
    shown = f"{speaker.asked}{await estate.frames(chat)}{await estate.messages(chat)}"
    for table in ("keeper_requests", "journal_entries", "events", "credential_events", "runs"):
        shown += str([dict(row) for row in await estate.owner.fetch(f"SELECT * FROM {table}")])
    assert not [form for form in forms(VALUE) if form in shown]


@pytest.mark.slow
async def test_it_asks_runs_a_command_and_reads_what_that_says_without_the_secret(
    estate: Estate,
    speaker: Vendor,
    model: ScriptedModel,  # noqa: F811
) -> None:
    model.answer = verdict("ALLOW")
    uses: dict[str, Any] = {"credential": "HARBOUR_KEY", "intent": INTENT}
    speaker.says(
        Says(calls=(Call.of("t1", "run_command", command=f"{PRINTS} || echo not given"),)),
        Says(calls=(Call.of("t2", ASK, **uses),)),
        Says(calls=(Call.of("t3", RUN, command=PRINTS, **uses),)),
        Says(calls=(Call.of("t4", RUN, command="ls /nowhere", **uses),)),
        Says(text=("Done.",)),
    )
    agent = await hold(estate)
    run = await turn(estate, agent)
    assert (run.status, run.error_message) == ("COMPLETED", None)
    assert PRINTS in model.asked[0].text
    without, asked, ran, failed = heard(speaker)
    assert without.endswith("not given")
    assert asked.startswith("ALLOW: A plain intent")
    assert ran == "Exit code 0\n[REDACTED:keeper-secret]"
    assert failed.startswith("Exit code 2")
    offered = {tool["function"]["name"]: tool["function"]["description"] for tool in speaker.asked[0]["tools"]}
    assert "HARBOUR_KEY" in offered[RUN]
    requests = await estate.owner.fetch("SELECT * FROM keeper_requests ORDER BY created_at")
    assert [(row["request_type"], row["decision"], row["agent_id"], row["exit_code"]) for row in requests] == [
        ("access", "ALLOW", agent.id, None), ("execute", "ALLOW", agent.id, 0), ("execute", "ALLOW", agent.id, 2),
    ]  # fmt: skip
    await nowhere(estate, speaker, run)


@pytest.mark.parametrize(("decision", "told"), [("DENY", "Continue without it"), ("ESCALATE", "ask again")])
async def test_what_is_not_allowed_is_not_done(
    estate: Estate,
    speaker: Vendor,
    model: ScriptedModel,  # noqa: F811
    decision: str,
    told: str,
) -> None:
    model.answer = verdict(decision, "It does not fit")
    uses: dict[str, Any] = {"credential": "HARBOUR_KEY", "intent": INTENT}
    wrong = uses | {"credential": "OF_ANOTHER"}
    speaker.says(
        Says(calls=(Call.of("t1", RUN, command="touch made", **uses),)),
        Says(calls=(Call.of("t2", RUN, command="touch made; ls", **uses), Call.of("t3", ASK, **wrong))),
        Says(calls=(Call.of("t4", RUN, credential="HARBOUR_KEY"),)),
        Says(text=("I cannot.",)),
    )
    run = await turn(estate, await hold(estate))
    assert run.status == "COMPLETED"
    refused, operator, unknown, missing = heard(speaker)
    assert refused.startswith(f"{decision}: It does not fit")
    assert told in refused
    assert operator.startswith("Nothing was done: command: must not contain")
    assert unknown == "Nothing was done: Credential not found"
    assert missing.startswith(f"Wrong arguments for {RUN}: intent")
    assert not list(estate.settings.storage_path.rglob("made"))
    assert await estate.owner.fetchval("SELECT count(*) FROM keeper_requests") == 1
    await nowhere(estate, speaker, run)


async def test_who_holds_no_secret_or_runs_no_commands_has_no_such_tool(estate: Estate) -> None:
    agent, other = await hold(estate), await estate.agent()
    await give(estate, other.id, "API", "x" * 12, type=CredentialType.API_KEY)
    place, sandbox = estate.workspace.id, Unconfined(unsafe=True)
    plain = a_job("hello")
    assert keeper_tools(plain, await given_to(place, other.id), sandbox, Redactor()) == {}
    held = await given_to(place, agent.id)
    for profile, expected in ((ToolProfile.MINIMAL, set[str]()), (ToolProfile.CODING, {ASK, RUN})):
        worker = dataclasses.replace(plain.agent, tool_profile=profile)
        assert keeper_tools(dataclasses.replace(plain, agent=worker), held, sandbox, Redactor()).keys() == expected
