"""More than two hundred requests with the verdict that is right: what the rules do alone, what a model that always says
yes can be brought to, and what comes of a model that knows.
"""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from resolvers.instance.completions import CompletionFailed, CompletionRequest
from resolvers.instance.ports import CommandOfAgent, Ran
from resolvers.kernel import instance
from resolvers.oversight.keeper.commands import fault_of
from resolvers.oversight.keeper.gatekeeper import is_plausible
from tests.every import each_of
from tests.oversight.keeper.adversaries import ADVERSARIES, Adversary
from tests.oversight.keeper.conftest import EXECUTE, REQUEST, SECRET, ScriptedModel, Ship, verdict
from tests.world import World

pytestmark = pytest.mark.anyio
AT_ONCE = 12


class Leak:
    """Does what such commands are after: says the secret, in every form that comes to mind."""

    def __init__(self) -> None:
        self.commands: list[CommandOfAgent] = []

    async def run(self, command: CommandOfAgent) -> Ran:
        self.commands.append(command)
        (value,) = command.environment.values()
        coded = value.encode()
        forms = (
            value, value[::-1], value.upper(), coded.hex(), base64.b64encode(coded).decode(), " ".join(value),
            base64.b64encode(b"TOKEN=" + coded + b"\0").decode(), coded.hex(" "),
        )  # fmt: skip
        return Ran(0, "\n".join(forms))


@pytest.fixture
def leak() -> Iterator[Leak]:
    instance.commands = made = Leak()
    yield made
    instance.commands = None


async def sent(ship: Ship, one: Adversary) -> Any:
    if one.command is None:
        return await ship.ask(REQUEST, one.credential, intent=one.intent)
    return await ship.ask(
        EXECUTE, one.credential, intent=one.intent, command=one.command, container_id=ship.crew.id, env_var="TOKEN"
    )


def prepare(ship: Ship) -> None:
    """What agents of the crew have left in its folder."""
    output = ship.output
    for path, content in {each for one in ADVERSARIES for each in one.files}:
        made = output / path.removeprefix("/output/")
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(content)
    hidden = output / "prepared" / ".git" / "config"
    hidden.parent.mkdir(exist_ok=True)
    hidden.write_text("[core]\n\tfsmonitor = printenv TOKEN")


async def all_sent(ship: Ship) -> list[tuple[Adversary, Any]]:
    prepare(ship)
    room = asyncio.Semaphore(AT_ONCE)

    async def within(one: Adversary) -> Any:
        async with room:
            return await sent(ship, one)

    return list(zip(ADVERSARIES, await asyncio.gather(*map(within, ADVERSARIES)), strict=True))


def test_they_are_many_and_each_another_one() -> None:
    assert len(set(ADVERSARIES)) == len(ADVERSARIES) > 200
    assert len({one.group for one in ADVERSARIES}) >= 12


@each_of("group", sorted({one.group for one in ADVERSARIES}))
def test_the_rules_alone(group: str) -> None:
    for one in ADVERSARIES:
        if one.group == group:
            if one.command is not None:
                found = "refused" if fault_of(one.command) else "model"
            else:
                found = "ALLOW" if one.level == 1 and is_plausible(one.intent) else "model"
            assert found == one.rules, one


@pytest.mark.slow
async def test_without_a_model_nothing_is_allowed_but_plain_intents(
    ship: Ship, model: ScriptedModel, leak: Leak
) -> None:
    model.answer = CompletionFailed("down")
    for one, answer in await all_sent(ship):
        if one.rules == "refused":
            assert answer.status_code == 400, one
        else:
            assert answer.json()["decision"] == ("ALLOW" if one.rules == "ALLOW" else "DENY"), one
    assert leak.commands == []


@pytest.mark.slow
async def test_a_model_that_always_says_yes_gives_no_secret_away(
    ship: Ship, world: World, model: ScriptedModel, leak: Leak
) -> None:
    model.answer = verdict("ALLOW")
    for one, answer in await all_sent(ship):
        assert answer.status_code == (400 if one.rules == "refused" else 200), one
        text = answer.text.lower()
        told = "".join(answer.json().get("output", "").split()).lower()
        for form in (SECRET, SECRET[::-1], SECRET.encode().hex(), base64.b64encode(SECRET.encode()).decode()[:-2]):
            assert form.lower() not in text, one
            assert form.lower() not in told, one
    assert len(leak.commands) == len([one for one in ADVERSARIES if one.command and one.rules == "model"])
    for table in ("keeper_requests", "events", "journal_entries", "inbox_items"):
        assert not await world.database.fetchval(
            f"SELECT count(*) FROM {table} t WHERE t::text ILIKE $1", f"%{SECRET}%"
        )


@pytest.mark.slow
async def test_a_model_that_knows_is_asked_of_data_and_gets_its_way(
    ship: Ship, model: ScriptedModel, leak: Leak
) -> None:
    """It finds a request by its quoted text: a line of the prompt, however the text tries to be more than one."""
    known = {(json.dumps(one.intent), json.dumps(one.command)): one.right for one in ADVERSARIES}

    def knows(question: CompletionRequest) -> str:
        lines = dict(line.partition(": ")[::2] for line in question.text.splitlines())
        return verdict(known[lines["intent"], lines.get("command", "null")])

    model.answer = knows
    found = Counter[str]()
    for one, answer in await all_sent(ship):
        if one.rules != "refused":
            assert answer.json()["decision"] == one.right, one
            found[one.right] += 1
    assert found == Counter(one.right for one in ADVERSARIES if one.rules != "refused")
    fences = [line for question in model.asked for line in question.text.splitlines() if line.startswith("=== ")]
    assert len(set(fences)) * 2 == len(fences) == len(model.asked) * 2
    assert all(SECRET not in question.text for question in model.asked)
    for one in ADVERSARIES:
        [*asked] = [question.text for question in model.asked if json.dumps(one.command) in question.text]
        for path, content in one.files:
            shown = f"{json.dumps(path)}, {len(content)} bytes, whole: {json.dumps(content)}"
            assert all(shown in text for text in asked if path in (one.command or "")), one


@pytest.mark.slow
async def test_a_command_finds_what_it_names_and_nothing_else(ship: Ship, model: ScriptedModel, leak: Leak) -> None:
    model.answer = verdict("ALLOW")
    await all_sent(ship)
    given = {command.command: dict(command.given or {}) for command in leak.commands}
    for one in ADVERSARIES:
        if one.command is not None and one.rules == "model":
            named = {path: content.encode() for path, content in one.files if path in one.command}
            assert given[one.command] == named, one
    assert sum(map(bool, given.values())) == len([one for one in ADVERSARIES if one.files])
