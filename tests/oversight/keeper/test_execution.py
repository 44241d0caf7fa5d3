"""Commands with a credential: what may be run, where the secret is, and where it is not."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from models.resources.credentials import Credential
from resolvers.instance.ports import CommandOfAgent, NotRun, Ran
from resolvers.kernel import instance
from resolvers.oversight.keeper.commands import fault_of
from resolvers.oversight.keeper.execution import MARK, scrubbed, told
from runtime.oversight.keeper_commands import SandboxedCommands
from runtime.sandbox import Unconfined
from tests.every import each_of
from tests.instance.openbao import ROOT, openbao
from tests.oversight.keeper.conftest import EXECUTE, SECRET, ScriptedModel, Ship, verdict
from tests.world import World

pytestmark = pytest.mark.anyio


@dataclass
class Runner:
    ran: Ran | Exception = field(default_factory=lambda: Ran(0, f"token {SECRET}\n"))
    commands: list[CommandOfAgent] = field(default_factory=list)

    async def run(self, command: CommandOfAgent) -> Ran:
        self.commands.append(command)
        if isinstance(self.ran, Exception):
            raise self.ran
        return self.ran


@pytest.fixture
def runner() -> Iterator[Runner]:
    instance.commands = made = Runner()
    yield made
    instance.commands = None


async def execute(ship: Ship, credential: str = "mid", **more: Any) -> Any:
    return await ship.ask(EXECUTE, credential, **({"command": "gh pr list", "container_id": ship.crew.id} | more))


async def test_an_allowed_command_is_run_and_says_no_secret(
    ship: Ship, world: World, model: ScriptedModel, runner: Runner
) -> None:
    model.answer = verdict("ALLOW")
    answer = (await execute(ship)).json()
    assert answer["output"] == f"token {MARK}\n"
    assert (answer["decision"], "exit_code" in answer) == ("ALLOW", False)
    (command,) = runner.commands
    assert (command.command, dict(command.environment), command.timeout) == ("gh pr list", {"K_MID": SECRET}, 60)
    assert SECRET not in repr(command)
    row = await ship.row(answer["request_id"])
    assert (row["command"], row["exit_code"], row["decision"]) == ("gh pr list", 0, "ALLOW")
    event = await world.database.fetchrow("SELECT * FROM credential_events WHERE agent_id = $1", ship.agent.id)
    assert (event["event_type"], event["details"]) == ("USE", {"source": "keeper_execute"})
    assert await world.database.fetchval("SELECT last_used_at FROM credentials WHERE name = 'mid'") is not None
    for table in ("keeper_requests", "events", "journal_entries", "inbox_items", "audit_logs", "credential_events"):
        found = await world.database.fetchval(f"SELECT count(*) FROM {table} t WHERE t::text LIKE $1", f"%{SECRET}%")
        assert found == 0, table
    assert all(SECRET not in question.text for question in model.asked)


@pytest.mark.parametrize("decision", ["DENY", "ESCALATE"])
async def test_another_verdict_runs_nothing(
    ship: Ship, world: World, model: ScriptedModel, runner: Runner, decision: str
) -> None:
    model.answer = verdict(decision)
    for credential in ("low", "mid"):  # no plain intent lets a command pass
        answer = (await execute(ship, credential)).json()
        assert (answer["decision"], "output" in answer) == (decision, False)
    assert runner.commands == []
    assert await world.database.fetchval("SELECT count(*) FROM inbox_items") == 0
    assert await world.database.fetchval("SELECT last_used_at FROM credentials WHERE name = 'mid'") is None


async def test_the_channel_is_told_of_the_command(
    ship: Ship, world: World, model: ScriptedModel, runner: Runner
) -> None:
    model.answer, runner.ran = verdict("ALLOW"), Ran(3, "no")
    since = max([event["seq"] for event in await world.events()], default=0)
    answer = (await execute(ship)).json()
    assert (answer["exit_code"], answer["output"]) == (3, "no")
    (told,) = [event["payload"] for event in await world.events(since) if event["type"] == "keeper_event"]
    assert (told["request_type"], told["command"], told["exit_code"]) == ("execute", "gh pr list", 3)
    model.answer = verdict("DENY")
    await execute(ship)
    last = [event["payload"] for event in await world.events(since) if event["type"] == "keeper_event"][-1]
    assert "exit_code" not in last


async def test_what_is_allowed_and_cannot_be_run_is_decided_all_the_same(
    ship: Ship, world: World, model: ScriptedModel, runner: Runner
) -> None:
    model.answer = verdict("ALLOW")
    since = max([event["seq"] for event in await world.events()], default=0)
    assert (await execute(ship, "api")).status_code == 500
    runner.ran = NotRun("off", unavailable=True)
    assert (await execute(ship)).status_code == 500
    runner.ran = NotRun(f"cannot start {SECRET}")
    answer = (await execute(ship)).json()
    assert (answer["exit_code"], answer["output"]) == (-1, f"cannot start {MARK}")
    instance.commands = None
    assert (await execute(ship)).status_code == 500
    assert await world.database.fetchval("SELECT count(*) FROM keeper_requests WHERE decision = 'ALLOW'") == 4
    assert len([event for event in await world.events(since) if event["type"] == "keeper_event"]) == 4


async def test_the_value_is_read_when_the_command_is_run(
    ship: Ship, world: World, model: ScriptedModel, runner: Runner
) -> None:
    credential, loop = ship.credentials["mid"], world.database
    place = {"row_id": credential.id, "workspace_id": world.workspace.id}
    rotated = await instance.vault.seal("rotated-a-moment-ago", table=Credential, column="value", **place)
    model.answer = verdict("ALLOW")
    judge = model.complete

    async def complete(asked: Any, question: Any) -> Any:
        await loop.execute("UPDATE credentials SET value = $1 WHERE id = $2", bytes(rotated), credential.id)
        return await judge(asked, question)

    model.complete = complete  # type: ignore[method-assign]
    runner.ran = Ran(0, "rotated-a-moment-ago")
    assert (await execute(ship)).json()["output"] == MARK
    assert dict(runner.commands[0].environment) == {"K_MID": "rotated-a-moment-ago"}

    async def take_away(asked: Any, question: Any) -> Any:
        await loop.execute("DELETE FROM agent_credentials WHERE credential_id = $1", credential.id)
        return await judge(asked, question)

    model.complete = take_away  # type: ignore[method-assign]
    assert (await execute(ship)).status_code == 404
    assert len(runner.commands) == 1
    assert await loop.fetchval("SELECT count(*) FROM keeper_requests WHERE decision = 'PENDING'") == 0


async def test_a_value_in_another_store_is_read_there(
    ship: Ship, world: World, model: ScriptedModel, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command gets what is kept there, and never what opens the store."""
    credential = ship.credentials["mid"]
    place = {"row_id": credential.id, "workspace_id": world.workspace.id}
    token = await instance.vault.seal(ROOT, table=Credential, column="value", **place)
    allowed = instance.settings.model_copy(update={"hooks_allow_private": True})
    monkeypatch.setattr(instance, "_settings", allowed)
    model.answer, set_ref = verdict("ALLOW"), "UPDATE credentials SET value = $1, secret_ref = $2 WHERE id = $3"
    async with openbao() as bao:
        bao.kv = {"/v1/secret/data/gh": {"value": "kept-elsewhere"}}
        await world.database.execute(set_ref, bytes(token), f"{bao.url}/v1/secret/data/gh", credential.id)
        runner.ran = Ran(0, "kept-elsewhere")
        assert (await execute(ship)).json()["output"] == MARK
        assert dict(runner.commands[0].environment) == {"K_MID": "kept-elsewhere"}
        bao.sealed = True
        assert (await execute(ship)).status_code == 500
    assert len(runner.commands) == 1


async def test_what_cannot_be_run_is_not_even_asked(
    ship: Ship, world: World, model: ScriptedModel, runner: Runner
) -> None:
    before = await world.snapshot()
    for more, status in (
        ({"container_id": "x"}, 403),
        ({"container_id": None}, 400),
        ({"command": None}, 400),
        ({"command": "a; b"}, 400),
        ({"command": "a" * 4097}, 400),
        ({"command": "é" * 2049}, 400),
        ({"env_var": "1BAD"}, 400),
        ({"env_var": "A B"}, 400),
        ({"env_var": "PATH"}, 400),
        ({"env_var": "LD_PRELOAD"}, 400),
    ):
        assert (await execute(ship, **more)).status_code == status, more
    assert await world.snapshot() == before
    assert (model.asked, runner.commands) == ([], [])


@each_of(
    "command",
    [
        "a; b", "a | b", "a > b", "a && b", "a & b", "a `b`", "a $(b)", "a ${b}", "a <(b)", "a\nb", 'a "b; c"',
        "a $'b'",
        "sh -c 'x'", "python3 -c 'x'", "perl -E 'x'", "node --eval 'x'", "awk '{print}' f", "sed s/a/b/ f",
        "a\u2028b",
        "a\0b", "env bash -lc x", "/usr/bin/python3.11 -c x", "py'th'on3 -c x", "p\\ython3 -c x", "python? -c x",
        "perl -pe x", "a \"it's; here\" 'x'", "node -p 'x'", "xargs -I{} sh -c x", "gawk x", "/bin/s[e]d x",
        "a '", "  ",
        "a \\' ; b \\'", "a \x1b[0m", "a\rb", "SH -c x", "busybox sh -c x", "deno --eval=x", "''sh'' -c x",
        "python3 -c'print(1)'", "perl -e'print 1'", "python3 -Wignore -c'x'", "php -r 'x'", "php -r'x'",
        "deno eval 'x'",
        "lua -e 'x'", "python3 -m timeit 'x'", "python3 -mtimeit 'x'", "Rscript -e 'x'", "erl -eval 'x'", "nodejs -e x",
    ],
)  # fmt: skip
def test_a_command_is_one_program(command: str) -> None:
    assert fault_of(command)


@each_of(
    "command",
    [
        "a\tb", "gh pr list --search 'a; b | c > d'", "echo awkward", "echo $HOME", "a" * 4096, "git push -c x",
        "sh run.sh",
        "python3 report.py --month 5", 'gh issue create --title "It is done"', "ls -la",
        "curl -H 'Authorization: Bearer x' https://api.example.com/v1?a=1",
        "printf '%s' '$(x)'", "kubectl get pods -n a",
        "python3 -m pytest", "php report.php", "deno run report.ts", "lua report.lua 5",
    ],
)  # fmt: skip
def test_one_program_with_its_arguments_is_none(command: str) -> None:
    assert fault_of(command) == ""


FORMS = {
    "plain": SECRET, "upper": SECRET.upper(), "lower": SECRET.lower(), "reversed": SECRET[::-1],
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "base64url": base64.urlsafe_b64encode(SECRET.encode()).decode(),
    "hex": SECRET.encode().hex(), "HEX": SECRET.encode().hex().upper(), "percent": quote(SECRET, safe=""),
    "letters apart": " ".join(SECRET), "lines": "\n".join(SECRET), "bytes": SECRET.encode().hex(" "),
    "colons": SECRET.encode().hex(":"), "escapes": "".join(f"\\x{byte:02x}" for byte in SECRET.encode()),
}  # fmt: skip


@each_of("name", FORMS)
def test_the_secret_is_found_in_every_form(name: str) -> None:
    text = scrubbed(f"before {FORMS[name]} after", SECRET)
    assert text.startswith("before ")
    assert text.rstrip("= ").endswith("after")
    assert MARK in text
    assert SECRET.lower() not in "".join(text.lower().split())


@each_of("before", ["", "a", "ab", "abc", "user:"])
@each_of("after", ["", "z", "zz"])
def test_base64_of_what_it_stands_in_is_found(before: str, after: str) -> None:
    coded = base64.b64encode(f"{before}{SECRET}{after}".encode()).decode()
    text = scrubbed(coded, SECRET)
    assert MARK in text
    assert len(text.replace(MARK, "")) <= len(base64.b64encode(f"{before}{after}".encode())) + 8


@each_of("cut", range(1, len(SECRET)))
def test_the_half_of_a_secret_is_left_out_where_output_was_cut(cut: int) -> None:
    assert SECRET[:cut] not in told(Ran(0, f"{'x' * 200} {SECRET[:cut]}", truncated=True), SECRET)


async def test_it_is_run_in_a_folder_of_its_own_which_goes_with_it(
    ship: Ship, world: World, model: ScriptedModel, tmp_path: Path
) -> None:
    settings = world.settings.model_copy(update={"storage_path": tmp_path})
    instance.commands = SandboxedCommands(settings, Unconfined(unsafe=True))
    model.answer = verdict("ALLOW")
    try:
        answer = (await execute(ship, command="printenv K_MID HOME PWD")).json()
        said, home, start = answer["output"].splitlines()
        assert (said, home, Path(home).exists()) == (MARK, start, False)
        assert (await execute(ship, command="printenv NOT_THERE")).json()["exit_code"] == 1
        assert (await execute(ship, command="touch here")).json()["output"] == ""
    finally:
        instance.commands = None
    assert list(tmp_path.rglob("here")) == []
    instance.commands = SandboxedCommands(settings, Unconfined())
    try:
        assert (await execute(ship)).status_code == 500
    finally:
        instance.commands = None
