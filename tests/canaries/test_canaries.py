"""Canaries: every column of secrets holds a value with a mark, the service is used, and nothing shows one.

One world: the values are written by operations, every operation is called, and an agent makes a run with them. Then
whatever came of it is searched. `make canaries` asks as an owner, a manager, a member and nobody, and writes a table.
"""

import asyncio
import base64
import contextlib
import io
import json
import logging
import os
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx2
import orjson
import pytest
import structlog
from pydantic import SecretStr
from sqlmodel import SQLModel

from models.base import secrets_of, table_of
from models.sealed import Sealed
from models.staff.agents import Agent, LlmProvider, ToolProfile
from models.staff.chats import Chat, ChatVisibility
from models.work.labels import Label
from resolvers.instance.vault import Vault
from resolvers.kernel import instance, log
from resolvers.kernel.declarations.operation import OPERATIONS, Auth
from resolvers.oversight.admin.archive import ARCHIVE
from resolvers.staff.chats.sending import send_message
from runtime.engine.supervisor import Supervisor
from runtime.oversight.admin import archive
from runtime.oversight.keeper_commands import SandboxedCommands
from runtime.runs.keeper_tools import RUN
from runtime.runs.outfit import InstanceOutfit
from tests.canaries.search import (
    FORMS,
    MARK,
    Search,
    heads,
    look_through_database,
    look_through_files,
    look_through_processes,
    marked,
)
from tests.faults.servers import KEYS
from tests.generation import surfaces
from tests.generation.domains import recipe_of
from tests.generation.estate import Estate, estate_on
from tests.generation.inputs import valid
from tests.generation.recipes import PASSWORD
from tests.generation.registry import operations, surfaces_of
from tests.generation.surfaces import Call
from tests.oversight.admin.test_archive import Doing
from tests.oversight.keeper.conftest import INTENT, ScriptedModel, verdict
from tests.process.commands import environment, run
from tests.runtime.adapters.vendors import Call as ToolCall
from tests.runtime.adapters.vendors import Says, Vendor, vendor
from tests.runtime.doubles import LocalEngine
from tests.world import Person

pytestmark = pytest.mark.anyio
REPORT: Final = os.environ.get("CANARIES_TABLE", "")
ONCE = "whoever makes it is shown it, once"
REPEATED = "GraphQL repeats a value that is of another type than its argument to whoever has sent it"
TYPED = ("credentials.create", "credentials.rotate", "credentials.test_value", "credentials.update")
ALLOWED: Final = {
    **dict.fromkeys([("error texts", name) for name in (*TYPED, "notification_channels.create")], REPEATED),
    ("answers", "notification_channels.create"): ONCE,
    ("answers", "webhook_endpoints.create"): ONCE,
    ("answers", "webhook_endpoints.rotate_secret"): ONCE,
    ("answers", "webhooks.internal_secret"): "a runtime of the agent is given it, by the internal token (contract)",
    ("environments of processes", "a command of an agent"): "has the variables that its agent is given",
}
MARKED: Final = {
    "credentials.create": ("value", "oauth_client_secret", "refresh_token"),
    "credentials.update": ("value",),
    "credentials.rotate": ("value",),
    "credentials.test_value": ("value",),
    "internal.credentials.create": ("value",),
    "internal.credentials.rotate": ("value",),
    "internal.credentials.set_status": ("access_token", "refresh_token"),
    "notification_channels.create": ("secret",),
}
"""Inputs that are secrets, wherever else they may be text."""
SHOWS: Final = (
    "printenv QUAY_KEY; printenv QUAY_KEY | tr -d '\\n' | base64 -w0; echo; printenv QUAY_KEY | rev;"
    " printenv QUAY_KEY | tr -d '\\n' | od -An -v -tx1 | tr -d ' \\n'; touch ready;"
    " while [ ! -e go ]; do sleep 0.02; done"
)


class Lines(logging.Handler):
    """Log lines, as they are written."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines = list[str]()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


class SearchedClient(httpx2.AsyncClient):
    """Every answer is searched, with its head; of one without an end, the caller searches what it has read."""

    def __init__(self, search: Search, url: str) -> None:
        super().__init__(base_url=url, timeout=30)
        self.search, self.what = search, ""

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:  # type: ignore[override]
        answer = await super().send(request, **options)
        if answer.headers.get("content-type") != surfaces.EVENTS:
            self.look(heads(answer.headers.raw) + b"\n" + await answer.aread(), answer.status_code)
        return answer

    def look(self, data: bytes, status: int) -> None:
        self.search.look("answers" if status < 400 and b'"errors":[' not in data else "error texts", self.what, data)


@dataclass
class Afloat:
    """The world; `sealed` are the columns that a value was sealed for."""

    estate: Estate
    search: Search
    client: SearchedClient
    speaker: Vendor
    judge: ScriptedModel
    folder: Path
    lines: Lines
    sealed: set[str] = field(default_factory=set)
    knows: bool = True

    async def call(
        self, name: str, person: Person | None, /, *, surface: str = "", keep: bool = False, **raw: Any
    ) -> Any:
        """With the marks; what it has written is kept aside, and taken back unless it is to stay."""
        op, estate = OPERATIONS[name], self.estate
        made = valid(op, estate)
        made |= {field: marked(field) for field in MARKED.get(name, ()) if field in made} | raw
        cookies = recipe_of(name).cookies
        surface = surface or surfaces_of(op)[0]
        given = cookies(estate) if cookies is not None and surface == "rest" else {}
        asked = Call(op, made, person, estate.home.workspace.id, cookies=given)
        self.client.what = name
        outcome = None
        with contextlib.suppress(json.JSONDecodeError):  # an export has one object a line
            outcome = await (surfaces.by_rest if surface == "rest" else surfaces.by_graphql)(self.client, asked)
        if outcome is not None and isinstance(outcome.body, list) and op.kind == "procedure":
            self.client.look(orjson.dumps(outcome.body), outcome.status)
        if op.kind != "query":
            done = "DELETE FROM recorder.changes" if keep else "SELECT recorder.undo()"
            await estate.recorder.superuser.execute(f"{KEPT}; {done}")
        assert not keep or (outcome and outcome.code is None), str(outcome)
        return outcome and outcome.body

    async def stay(self, name: str, /, **raw: Any) -> Any:
        return await self.call(name, self.estate.caller(OPERATIONS[name]), keep=True, **raw)


KEPT = 'INSERT INTO recorder.kept SELECT "table", old, new FROM recorder.changes'


@pytest.fixture(scope="module")
async def afloat(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[Afloat]:
    folder, search, judge = tmp_path_factory.mktemp("canaries"), Search(ALLOWED), ScriptedModel(verdict("ALLOW"))
    settings: dict[str, Any] = {
        "row_level_security": True, "log_level": "debug", "storage_path": folder / "files", "unsafe_process": True,
        "run_adapter": "native", "openai_api_key": SecretStr("sk-" + "k" * 40), "keeper_switch": True,
        "keeper_model": "judge", "keeper_address": "http://127.0.0.1:9",
    }  # fmt: skip
    async with contextlib.AsyncExitStack() as stack:
        speaker = await stack.enter_async_context(vendor("openai"))
        settings["openai_base_url"] = speaker.base_url
        estate = await stack.enter_async_context(estate_on(module_database, folder, **settings))
        client = await stack.enter_async_context(SearchedClient(search, estate.world.url))
        made = Afloat(estate, search, client, speaker, judge, folder, Lines())
        stack.enter_context(_told(made))
        search.know("the mark", MARK)
        search.know("a password", PASSWORD)
        search.know("a token", estate.world.owner.token)
        await estate.recorder.superuser.execute('CREATE TABLE recorder.kept ("table" text, old jsonb, new jsonb)')
        yield made


@contextlib.contextmanager
def _told(made: Afloat) -> Iterator[None]:
    """Of what is sealed and of what is logged; and the model of the keeper is a script."""
    seal = Vault.seal

    async def seen(vault: Vault, text: str, *, table: type[SQLModel], column: str, **place: Any) -> Sealed:
        name = f"{table_of(table).name}.{column}"
        made.sealed.add(name)
        if made.knows and MARK not in text:
            made.search.know(name, text)
        return await seal(vault, text, table=table, column=column, **place)

    root, before, logs = logging.getLogger(), instance.completions, structlog.get_config()
    *others, render = logs["processors"]

    def rendered(logger: Any, method: str, event: Any) -> Any:
        made.lines.lines.append(str(line := render(logger, method, event)))
        return line

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Vault, "seal", seen)
        patch.setattr(root, "handlers", [made.lines])
        instance.completions = made.judge
        structlog.configure(processors=[*others, rendered])
        yield
        structlog.configure(processors=logs["processors"])
        instance.completions = before


async def write(made: Afloat) -> None:
    """A value in every column, and marks where the examples have others."""
    for row in made.estate.home.all():
        model: Any = type(row)
        for column in secrets_of(model):
            if isinstance(row.__dict__.get(column), Sealed):
                place = {"row_id": row.__dict__["id"], "workspace_id": made.estate.home.workspace.id}
                sealed = await instance.vault.seal(marked(column), table=model, column=column, **place)
                change = f"UPDATE {table_of(model).name} SET {column} = $1 WHERE id = $2"
                await made.estate.world.database.execute(change, bytes(sealed), place["row_id"])
    fleet = {"name": "Of the fleet", "type": "OAUTH2", "oauth_client_id": "crewship", "hosts": []}
    await made.stay(
        "credentials.create", **fleet, oauth_client_secret=marked("client"), refresh_token=marked("refresh")
    )
    tokens = {"access_token": marked("access"), "refresh_token": marked("refresh")}
    await made.stay("internal.credentials.set_status", **tokens)
    for name in ("credentials.rotate", "webhook_endpoints.create", "webhook_endpoints.rotate_secret", "oauth.initiate"):
        await made.stay(name)
    await made.stay("notification_channels.create", secret=marked("channel"))
    await made.stay("instance_settings.put", key="oauth.google.client_secret", value=marked("setting"))
    raised = await made.stay("escalations.raise", type="CREDENTIAL")
    await made.stay("escalations.resolve", escalation_id=raised["escalation_id"], resolution=marked("handed"))


async def use(made: Afloat) -> None:
    """Every operation, and bodies that are wrong beside the secret, or in it. For the table by everybody, and reads on
    both surfaces: what others may see is less, and takes a minute.
    """
    made.knows = False
    for op in operations():
        caller, places = made.estate.caller(op), surfaces_of(op)
        for surface in places if REPORT and op.kind == "query" else places[:1]:
            await made.call(op.name, caller, surface=surface)
        others = ("manager", "member", "") if REPORT and op.auth is Auth.USER else ()
        for who in others if places else ():
            await made.call(op.name, made.estate.person(who) if who else None)
    for name, fields in MARKED.items():
        caller = made.estate.caller(OPERATIONS[name])
        for surface in surfaces_of(OPERATIONS[name]):
            for wrong in ({fields[0]: [marked("list")]}, {fields[0]: marked("\0")}, {"name": 7, "credential_id": 7}):
                await made.call(name, caller, surface=surface, **wrong)


async def sail(made: Afloat) -> None:
    """A run with a credential in its environment, which its command shows in every form, and one of the keeper's."""
    world, here = made.estate.world, made.estate.home.workspace.id
    agent = Agent(
        name="Sailor", slug="sailor", crew_id=made.estate.home["crew"].id, llm_provider=LlmProvider.OPENAI,
        llm_model="m-1", tool_profile=ToolProfile.CODING, workspace_id=here,
    )  # fmt: skip
    chat = Chat(agent_id=agent.id, workspace_id=here, visibility=ChatVisibility.private)
    await world.add(agent, chat)
    for type, variable in (("API_KEY", "QUAY_KEY"), ("SECRET", "HARBOUR_KEY")):
        held = await made.stay("credentials.create", name=variable, type=type, secret_ref="", hosts=[])
        await made.stay("agent_credentials.assign", agent_id=agent.id, credential_id=held["id"], env_var_name=variable)
    uses: dict[str, Any] = {"credential": "HARBOUR_KEY", "intent": INTENT, "command": "printenv HARBOUR_KEY"}
    made.speaker.says(
        Says(calls=(ToolCall.of("t1", "run_command", command=SHOWS),)),
        Says(calls=(ToolCall.of("t2", RUN, **uses),)),
        Says(text=("It is ", marked("value")[:9], marked("value")[9:], ".")),
    )
    instance.commands = SandboxedCommands(made.estate.world.settings)
    worker = Supervisor(LocalEngine(), InstanceOutfit(made.estate.world.settings), slots=1)
    await worker.start()
    try:
        asked = {"chat_id": chat.id, "content": "Show the key."}
        await send_message(world.owner.caller, asked, place=here)
        ready = await appears(made.folder)
        look_through_processes(made.search, "QUAY_KEY")
        (ready.parent / "go").touch()
        await ended(made)
        await made.estate.recorder.superuser.execute("DELETE FROM recorder.changes")  # the tables have them all
    finally:
        await worker.stop()
        instance.commands = None
    told = orjson.dumps(made.speaker.asked), *(question.text.encode() for question in made.judge.asked)
    made.search.look("what models are sent", "requests", b"\n".join(told))
    heard = [message["content"] for message in made.speaker.asked[-1]["messages"] if message["role"] == "tool"]
    assert [text.count("[REDACTED") for text in heard] == [4, 1]


async def appears(folder: Path) -> Path:
    async with asyncio.timeout(60):
        while not (found := list(folder.rglob("ready"))):
            await asyncio.sleep(0.02)
    return found[0]


async def ended(made: Afloat) -> None:
    running = "SELECT status FROM runs WHERE agent_id = (SELECT id FROM agents WHERE slug = 'sailor')"
    async with asyncio.timeout(60):
        while (status := await made.estate.world.database.fetchval(running)) == "RUNNING":
            await asyncio.sleep(0.02)
    assert status == "COMPLETED"


async def export(made: Afloat) -> None:
    """What leaves the instance as files and texts: an archive of each person, and what operators' commands print."""
    world, here = made.estate.world, made.estate.home.workspace.id
    rows = 0
    for person in (world.owner, world.manager, world.member):
        asked = await world.rest(world.owner, "POST", f"/api/v1/admin/users/{person.user_id}/archive")
        assert asked.status_code == 202, asked.text
        id = asked.json()["id"]
        await archive(Doing(here), ARCHIVE.input(action_id=id))  # type: ignore[arg-type]
        given = await world.rest(world.owner, "GET", f"/api/v1/admin/gdpr-actions/{id}/archive")
        assert given.status_code == 200, given.text
        with zipfile.ZipFile(io.BytesIO(given.content)) as file:
            for name in file.namelist():
                rows += (content := file.read(name)).count(b"\n")
                made.search.look("archives of people", name, name.encode() + b"\n" + content)
    assert rows > 50, "there is something in them"
    database = world.settings.database_url
    assert database is not None
    env = environment(made.folder / "command", DATABASE_URL=database.get_secret_value(), **KEYS)
    for command in (("doctor", "--json"), ("keys", "status"), ("keys", "rotate"), ("audit", "verify"), ("operations",)):
        ran = await asyncio.to_thread(run, *command, env=env)
        assert ran.stdout, f"{command}: {ran.stderr}"
        made.search.look("what commands print", " ".join(command), (ran.stdout + ran.stderr).encode())


async def look(made: Afloat, search: Search) -> None:
    await look_through_database(search, made.estate.recorder.superuser)
    look_through_files(search, made.folder)
    look_through_processes(search)
    search.look("log lines", "lines", "\n".join(made.lines.lines).encode())


@pytest.mark.slow
async def test_no_secret_is_shown_anywhere(afloat: Afloat) -> None:
    await write(afloat)
    columns = {f"{table.name}.{column}" for table, column in secret_columns()}
    assert afloat.sealed >= columns, "a column of secrets that nothing here writes"
    await use(afloat)
    await sail(afloat)
    await export(afloat)
    await look(afloat, afloat.search)
    assert afloat.lines.lines
    if REPORT:
        Path(REPORT).write_text(f"{ABOVE}\n{afloat.search.table()}")
    assert "\n".join(afloat.search.leaks) == ""
    assert afloat.search.unused == set()


def secret_columns() -> Iterator[tuple[Any, str]]:
    for model in SQLModel.__subclasses__():
        yield from _of(model)


def _of(model: Any) -> Iterator[tuple[Any, str]]:
    if hasattr(model, "__table__"):
        yield from ((model.__table__, column) for column in secrets_of(model))
    for child in model.__subclasses__():
        yield from _of(child)


ABOVE = f"""# Canaries

Every column of secrets holds a marked value, every operation is called by an owner, a manager, a member and nobody, and
an agent makes a run with two of them. Then it is searched what came of it, in these forms: {", ".join(FORMS)}.
Written by `make canaries`; the same search is a test (`tests/canaries`), which fails where anything is found.
"""


async def test_a_leak_is_found_wherever_it_is_planted(afloat: Afloat, tmp_path: Path) -> None:
    search = Search({})
    search.know("the mark", MARK)
    client = SearchedClient(search, afloat.estate.world.url)
    label = Label(name=f"so: {MARK[::-1]}", color="#000000", workspace_id=afloat.estate.home.workspace.id)
    await afloat.estate.world.add(label)
    afloat.client, kept = client, afloat.client
    await afloat.call("labels.list", afloat.estate.world.owner)
    afloat.client = kept
    log.error("it is", value=MARK.encode().hex())
    planted = afloat.folder / "planted"
    planted.write_bytes(base64.b64encode(f"xy{MARK}z".encode()))
    command = [sys.executable, "-c", "input()", MARK]
    with subprocess.Popen(command, env={"TOKEN": MARK}, stdin=subprocess.PIPE) as process:
        await look(afloat, search)
        process.communicate()
    await client.aclose()
    planted.unlink()
    await afloat.estate.world.database.execute("DELETE FROM labels WHERE id = $1", label.id)
    assert {name for name, place in search.places.items() if place.found} == {
        "answers", "arguments of processes", "environments of processes", "files of the service", "log lines",
        "other tables, as a dump has them",
    }  # fmt: skip


@pytest.mark.parametrize("text", [MARK, marked("x"), PASSWORD], ids=["mark", "marked", "password"])
def test_every_form_is_found_wherever_it_stands(text: str) -> None:
    search = Search({})
    search.know("it", text)
    for before in range(4):
        for behind in range(4):
            coded = b"x" * before + text.encode() + b"y" * behind
            shown = (
                coded, coded[::-1], coded.decode()[::-1].encode(), coded.hex().encode(), coded.hex().upper().encode(),
                base64.b64encode(coded), base64.urlsafe_b64encode(coded), quote(coded, safe="").encode(),
                orjson.dumps({"a": coded.decode()}),
            )  # fmt: skip
            for each in shown:
                search.places.clear()
                search.look("here", "it", each)
                assert search.leaks, each
    search.places.clear()
    search.look("here", "it", f"{text[:-1]} {text[1:]}".encode())
    assert search.leaks == []
