"""What a run is given of the vault: by which names, in which order, where it can be read, and that nothing shows it."""

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from models.base import new_id
from models.resources.credentials import (
    AgentCredential,
    Credential,
    CredentialRotation,
    CredentialStatus,
    CredentialType,
)
from models.staff.agents import LlmProvider
from resolvers.resources.credentials.given import Given, environment, given_to, value_before
from resolvers.resources.credentials.variables import is_variable
from resolvers.rules.redaction import Redactor
from runtime.engine.supervisor import Supervisor
from runtime.runs.keys import CredentialKeys, EnvironmentKeys
from runtime.runs.outfit import InstanceOutfit
from runtime.sandbox import Unconfined, Workdir
from tests.every import each_of
from tests.runtime.doubles import LocalEngine
from tests.runtime.estate import Estate, estate_on
from tests.runtime.test_outfit import script
from tests.sealing import sealed_before

pytestmark = pytest.mark.anyio
VALUE = "canary/5e1f+7 d"


@pytest.fixture
async def estate(database: Any, tmp_path: Path) -> AsyncIterator[Estate]:
    async with estate_on(database, tmp_path, run_adapter="scripted") as made:
        worker = Supervisor(LocalEngine(), InstanceOutfit(made.settings), slots=4)
        await worker.start()
        yield made
        await worker.stop()


async def give(
    estate: Estate, agent_id: str, variable: str, value: str | None, priority: int = 0, **fields: Any
) -> str:
    made = Credential(
        name=new_id(), workspace_id=estate.workspace.id, **{"type": CredentialType.SECRET, "tags": None} | fields
    )
    del made.__dict__["tags"], made.__dict__["last_used_ips"]
    if value is not None:
        made.value = sealed_before(value, table=Credential, column="value", row_id=made.id)
    names = {name: field for name, field in made.__dict__.items() if field is not None}
    columns = ", ".join([*names, "tags", "last_used_ips"])
    places = ", ".join([*[f"${n + 1}" for n in range(len(names))], "'[]'", "'[]'"])
    await estate.owner.execute(f"INSERT INTO credentials ({columns}) VALUES ({places})", *names.values())
    await estate.add(
        AgentCredential(
            agent_id=agent_id,
            credential_id=made.id,
            env_var_name=variable,
            priority=priority,
            workspace_id=estate.workspace.id,
        )
    )
    return made.id


async def test_the_preferred_of_a_pool_is_given_and_what_is_not_active_is_not(estate: Estate) -> None:
    agent = await estate.agent()
    await give(estate, agent.id, "A", "second", 5)
    await give(estate, agent.id, "A", "first", -1)
    await give(estate, agent.id, "A", "expired", -9, status=CredentialStatus.EXPIRED)
    await give(estate, agent.id, "B", None)
    await give(estate, agent.id, "a b=c", "no name")
    await give(estate, (await estate.agent()).id, "C", "of another")
    given = await given_to(estate.workspace.id, agent.id)
    assert [each.value for each in given] == ["first", "no name", "second"]
    assert environment(given) == {"A": "first"}
    assert await given_to("another", agent.id) == []


def test_a_secret_is_in_no_environment_while_the_keeper_is_on() -> None:
    secret, key = Given("1", "SECRET", "NONE", "A", "one"), Given("2", "API_KEY", "NONE", "B", "two")
    assert environment([secret, key]) == {"A": "one", "B": "two"}
    assert environment([secret, key], guarded=True) == {"B": "two"}


async def test_equals_take_turns_and_each_use_is_told(estate: Estate) -> None:
    agent = await estate.agent()
    ids = {await give(estate, agent.id, "A", value): value for value in ("one", "two")}
    first = environment(await given_to(estate.workspace.id, agent.id))["A"]
    used = next(id for id, value in ids.items() if value != first)
    await estate.owner.execute("UPDATE credentials SET last_used_at = now() - interval '1 hour' WHERE id = $1", used)
    assert environment(await given_to(estate.workspace.id, agent.id))["A"] != first
    told = await estate.owner.fetch(
        "SELECT credential_id, agent_id, event_type FROM credential_events WHERE credential_id = ANY($1)", list(ids)
    )
    assert {(row[0], row[1], row[2]) for row in told} == {(id, agent.id, "USE") for id in ids}
    assert len(told) == 3


async def turned(estate: Estate, credential_id: str, old: str, seconds: int, status: str = "ACTIVE") -> None:
    id = new_id()
    kept = sealed_before(old, table=CredentialRotation, column="old_value", row_id=id)
    await estate.owner.execute(
        "INSERT INTO credential_rotations (id, workspace_id, credential_id, grace_seconds, rotated_at, expires_at,"
        " status, old_value) VALUES ($1, $2, $3, 60, now() - make_interval(secs => 9 - $4), now() +"
        " make_interval(secs => $4), $5, $6)",
        *(id, estate.workspace.id, credential_id, seconds, status, kept if status == "ACTIVE" else None),
    )


async def test_the_value_before_is_found_while_it_is_good(estate: Estate) -> None:
    agent, here = await estate.agent(), estate.workspace.id
    id = await give(estate, agent.id, "A", "new", type=CredentialType.API_KEY, provider="ANTHROPIC")
    assert await value_before(here, id) is None
    await turned(estate, id, "over", -5)
    await turned(estate, id, "given up", 30, "CANCELLED")
    assert await value_before(here, id) is None
    for old, seconds in (("older", 20), ("old", 40)):
        await turned(estate, id, old, seconds)
    found = await value_before(here, id)
    assert found is not None
    assert (found.get_secret_value(), await value_before("another", id)) == ("old", None)
    access = await CredentialKeys(await given_to(here, agent.id), EnvironmentKeys(estate.settings)).find(
        here, LlmProvider.ANTHROPIC
    )
    assert access is not None
    assert access.before is not None
    assert await access.before() == found
    elsewhere = "https://bao.example.com/v1/a/data/b"
    await estate.owner.execute("UPDATE credentials SET secret_ref = $2 WHERE id = $1", id, elsewhere)
    assert await value_before(here, id) is None


async def test_a_credential_that_cannot_be_opened_is_left_out(estate: Estate) -> None:
    agent = await estate.agent()
    id = await give(estate, agent.id, "A", "x")
    await give(estate, agent.id, "B", "kept")
    await estate.owner.execute("UPDATE credentials SET value = '\\xff0101'::bytea WHERE id = $1", id)
    assert environment(await given_to(estate.workspace.id, agent.id)) == {"B": "kept"}


@each_of("name", ["PATH", "LD_PRELOAD", "BASH_ENV", "PYTHONPATH", "A-B", "1A", "", "A=B", "A\nB", "Ä"])
def test_a_name_that_steers_programs_is_no_variable(name: str) -> None:
    assert not is_variable(name)


def test_usual_names_are_variables() -> None:
    assert all(map(is_variable, ["GH_TOKEN", "KUBECONFIG", "_x", "a1", "OPENAI_API_KEY"]))


async def test_a_bound_key_comes_before_the_servers(estate: Estate) -> None:
    settings = estate.settings.model_copy(
        update={"anthropic_api_key": type(estate.settings.nextauth_secret)("of-the-server")}
    )
    held = Given("c", "API_KEY", "ANTHROPIC", "X", "of-the-agent")
    for given, expected in (
        ([held], "of-the-agent"),
        ([replace(held, provider="OPENAI")], "of-the-server"),
        ([replace(held, type="AI_CLI_TOKEN")], "of-the-server"),
        ([replace(held, value="sk-ant-oat-1"), held], "of-the-agent"),
        ([], "of-the-server"),
    ):
        found = await CredentialKeys(given, EnvironmentKeys(settings)).find("w", LlmProvider.ANTHROPIC)
        assert found is not None
        assert found.key is not None
        assert found.key.get_secret_value() == expected


async def test_a_command_has_its_variables_and_nothing_of_them_is_left(tmp_path: Path) -> None:
    sandbox, workdir = Unconfined(unsafe=True), Workdir.of(tmp_path, workspace_id="w", agent_id="a", agent_slug="agent")
    given = {"MY_KEY": VALUE, "HOME": "/elsewhere"}
    ended = await sandbox.run(["env"], workdir=workdir, timeout=10, environment=given)
    lines = ended.stdout.splitlines()
    assert f"MY_KEY={VALUE}" in lines
    assert "HOME=/elsewhere" not in lines
    again = await sandbox.run(["env"], workdir=workdir, timeout=10)
    assert VALUE not in again.stdout
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and VALUE.encode() in path.read_bytes()]


def forms(value: str) -> list[str]:
    plain = value.encode()
    return [
        value, value[::-1], plain.hex(), plain.hex().upper(), quote(value, safe=""), base64.b64encode(plain).decode(),
        base64.urlsafe_b64encode(plain).decode(),
    ]  # fmt: skip


def test_every_form_of_a_value_is_taken_out() -> None:
    redactor = Redactor([VALUE])
    for form in forms(VALUE):
        assert redactor.redact(f"say {form}, please").startswith("say [REDACTED:credential]"), form


async def test_a_run_shows_none_of_its_agents_values(estate: Estate) -> None:
    agent = await estate.agent()
    await give(estate, agent.id, "MY_KEY", VALUE)
    chat = await estate.chat(agent)
    said = " and ".join(forms(VALUE))
    run = await estate.ask(script({"text": said}, {"fail": f"no: {VALUE}"}), chat=chat)
    ended = await estate.ended(run.id)
    shown = str(await estate.answer(str(run.chat_id))) + str(ended.error_message)
    shown += str((await estate.messages(str(run.chat_id)))[1:])
    assert not [form for form in forms(VALUE) if form in shown]
    assert "[REDACTED:credential]" in shown
