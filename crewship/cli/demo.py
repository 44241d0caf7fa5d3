"""`crewship demo`: a service of its own with a small local model, an owner, a crew and an agent, and instructions for
talking with it.

Everything is in one directory: the second start continues with the first one's data. The service runs in this process,
so that the model is loaded where it is used.
"""

import asyncio
import contextlib
import io
import json
import os
import secrets
import shlex
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import AliasChoices
from rich.console import Console
from rich.text import Text

from crewship.cli.client import Client, Unreachable
from crewship.cli.profiles import ClientError, Profile
from crewship.cli.profiles import write as write_profile
from crewship.process.private_files import write_secret
from crewship.process.progress import Progress
from crewship.process.serve import serve
from resolvers.instance.settings import Settings, load_settings
from runtime.adapters import local_model
from runtime.runs.job import Failed

HOST = "127.0.0.1"
NAME, EMAIL, WORKSPACE = "Demo Owner", "demo@example.com", "Demo"
CREW = {"name": "Demo", "slug": "demo"}
AGENT = {
    "name": "Scout",
    "slug": "scout",
    "role_title": "Answers questions",
    "system_prompt": "You are the scout of a ship's crew.",
}
KEPT = {"CREWSHIP_PORT", "CREWSHIP_RUN_ADAPTER", "CREWSHIP_LOG_FORMAT", "CREWSHIP_LOG_LEVEL"}
REQUESTS = 1200  # a minute: a page and several terminals share one address
PATIENCE = 600.0  # seconds until the service must answer; should it fail, it ends the demo itself
T = TypeVar("T")
FOUND = (
    "query ($ws: ID!) { crews(workspaceId: $ws, first: 100) { nodes { id slug } }"
    " agents(workspaceId: $ws, first: 100) { nodes { slug } } }"
)


@dataclass(frozen=True)
class Owner:
    """The stored data of the demo's owner, in a file that only the user can read."""

    email: str
    password: str
    token: str | None = None

    @classmethod
    def read(cls, file: Path) -> "Owner | None":
        try:
            return cls(**json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError):
            raise ClientError(f"{file} cannot be read; remove the directory {file.parent} to start over") from None

    def write(self, file: Path) -> None:
        write_secret(file, json.dumps(self.__dict__))


# -- what is shown ----------------------------------------------------------------------------------------------------


def welcome(console: Console, profile: Profile, owner: Owner, file: Path) -> None:
    """Nothing here is wrapped: it is there to be copied."""
    told = [
        ("In the browser", f"{profile.server}/#agent={AGENT['slug']}"),
        ("Email", owner.email),
        ("Password", owner.password),
        ("API token", owner.token),
    ]
    console.print()
    for name, value in told:
        console.print(Text.assemble("  ", (f"{name:<16}", "dim"), str(value)), soft_wrap=True)
    console.print()
    console.print(f"Talk with {AGENT['name']} in another terminal:")
    console.print()
    console.print(
        Text(f"  {_command()} chat {AGENT['slug']} --profile {shlex.quote(_shown(file))}", "bold"), soft_wrap=True
    )
    console.print()
    console.print(Text(f"Ctrl-C stops the demo. Its data stays in {_shown(file.parent)}.", "dim"), soft_wrap=True)


def _command() -> str:
    """This very command, as it can be typed in the current directory."""
    beside = Path(sys.executable).parent / "crewship"
    return shlex.quote(_shown(beside)) if beside.exists() else f"{shlex.quote(sys.executable)} -m crewship"


def _shown(path: Path) -> str:
    relative = os.path.relpath(path)
    if relative.startswith(".."):
        return str(path)
    return relative if os.sep in relative else f"./{relative}"  # which no name of a profile has


# -- what is set up ---------------------------------------------------------------------------------------------------


async def settle(server: str, directory: Path) -> tuple[Profile, Owner]:
    """An owner with a token, a workspace, a crew and an agent: found, or made. Raises ClientError."""
    file = directory / "demo.json"
    profile = Profile(server)
    client = Client(profile)
    try:
        owner = await _signed_up(client, Owner.read(file), file)
        if not await _is_valid(replace(profile, token=owner.token)):
            owner = replace(owner, token=await _new_token(client, owner))
            owner.write(file)
    finally:
        await client.close()
    profile = replace(profile, token=owner.token)
    client = Client(profile)
    try:
        return replace(profile, workspace=await _furnished(client)), owner
    finally:
        await client.close()


async def _signed_up(client: Client, known: Owner | None, file: Path) -> Owner:
    """The owner. The password is stored before it is used: after any interruption the next start continues."""
    fresh = (await client.rest("GET", "/api/v1/system/setup-status"))["needs_bootstrap"]
    if known is None and not fresh:
        raise ClientError(
            f"{file.parent} has users that the demo did not create; remove it, or name another directory "
            "with --data-dir"
        )
    owner = known or Owner(EMAIL, secrets.token_urlsafe(12))
    if not fresh:
        return owner
    owner.write(file)
    made = await client.rest(
        "POST", "/api/v1/bootstrap", {"full_name": NAME, "email": owner.email, "password": owner.password}
    )
    owner = replace(owner, token=made["cli_token"])
    owner.write(file)
    return owner


async def _is_valid(profile: Profile) -> bool:
    if profile.token is None:
        return False
    client = Client(profile)
    try:
        await client.rest("GET", "/api/v1/auth/cli-token/validate")
    except Unreachable:
        raise
    except ClientError:
        return False
    finally:
        await client.close()
    return True


async def _new_token(client: Client, owner: Owner) -> str:
    csrf = (await client.rest("GET", "/api/auth/csrf"))["csrfToken"]
    login = {"email": owner.email, "password": owner.password, "csrfToken": csrf, "redirect": "false"}
    if not (await client.rest("POST", "/api/auth/callback/credentials", login))["ok"]:
        raise ClientError(f"the password of {owner.email} is not the demo's; remove the directory to start over")
    return str((await client.rest("POST", "/api/v1/auth/cli-token", {"name": "demo"}))["token"])


async def _furnished(client: Client) -> str:
    """The slug of the workspace, once the crew and the agent are in it."""
    [workspace, *_] = (await client.graphql("{ viewer { workspaces { id slug name } } }"))["viewer"]["workspaces"]
    id = workspace["id"]
    if workspace["name"] == f"{NAME}'s Workspace":
        await client.rest("PATCH", f"/api/v1/workspaces/{id}", {"name": WORKSPACE})
    found = await client.graphql(FOUND, ws=id)
    if all(agent["slug"] != AGENT["slug"] for agent in found["agents"]["nodes"]):
        crews = [crew for crew in found["crews"]["nodes"] if crew["slug"] == CREW["slug"]]
        crew: Any = crews[0] if crews else await client.rest("POST", "/api/v1/crews", CREW, workspace_id=id)
        await client.rest("POST", "/api/v1/agents", {**AGENT, "crew_id": crew["id"]}, workspace_id=id)
    return str(workspace["slug"])


# -- the process ------------------------------------------------------------------------------------------------------


class Guide:
    """Runs beside the service, in a thread: shows the progress, creates owner, crew and agent, and prints the
    instructions.
    """

    def __init__(self, console: Console, settings: Settings) -> None:
        self.console, self.progress, self.settings = console, Progress(console.file), settings
        self.failure: Exception | None = None
        self.leaving = False

    def run(self) -> None:
        try:
            asyncio.run(self._run())
        except Exception as error:  # shown by the main thread, which has the service to end first
            if not self.leaving:
                self.failure = error
                os.kill(os.getpid(), signal.SIGTERM)

    async def _run(self) -> None:
        server, directory = f"http://{HOST}:{self.settings.port}", self.settings.data_dir
        with self.progress.step("Starting PostgreSQL and the service", f"The service answers at {server}"):
            await self._answering(server)
        with self.progress.step("Setting up", f"The crew {CREW['name']} with the agent {AGENT['name']} is there"):
            profile, owner = await persistently(lambda: settle(server, directory))
        if self.settings.run_adapter == "local_model":
            said: list[str] = []
            with self.progress.step("Loading the local model", f"The model {local_model.MODEL} is loaded"):
                await local_model.prepare(said.append)
        file = directory / "profile"
        write_profile(file, profile)
        if not self.leaving:
            welcome(self.console, profile, owner, file)

    async def _answering(self, server: str) -> None:
        client = Client(Profile(server))
        try:
            await persistently(lambda: client.rest("GET", "/healthz"))
        finally:
            await client.close()


async def persistently(work: Callable[[], Awaitable[T]], patience: float = PATIENCE) -> T:
    """The result of resumable work: on a busy machine any request may time out."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return await work()
        except Unreachable:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


def demo_settings(directory: Path, port: int | None) -> Settings:
    """Ignores the environment of other instances: neither its database nor its keys apply. Without `port`,
    CREWSHIP_PORT applies; if that is taken, another one is used.
    """
    for info in Settings.model_fields.values():
        alias = info.validation_alias
        for name in alias.choices if isinstance(alias, AliasChoices) else (alias,):
            if name not in KEPT:
                os.environ.pop(str(name), None)
    logged = {
        "log_level": os.environ.get("CREWSHIP_LOG_LEVEL") or "error",
        "log_format": os.environ.get("CREWSHIP_LOG_FORMAT") or "text",
    }
    given = os.environ.get("CREWSHIP_RUN_ADAPTER") or "local_model"
    return load_settings(
        host=HOST,
        port=port,
        data_dir=str(directory.absolute()),
        run_adapter=given,
        local_model="true",
        ratelimit_api=REQUESTS,
        **logged,
    )


def free_port(wanted: int) -> int:
    """That port, or any other one when it is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    raise ClientError("no free port")


def demo(directory: Path, port: int | None) -> None:
    """Serves until Ctrl-C. Raises what `serve` raises, ClientError and Failed."""
    console = Console(file=sys.stdout, highlight=False, emoji=False, markup=False)
    settings = demo_settings(directory, port)
    wanted = settings.port
    settings = settings.model_copy(update={"port": free_port(wanted)})
    if settings.run_adapter == "local_model" and not local_model.installed():
        raise Failed(f"The local model is not installed: {local_model.INSTALL}")
    if wanted not in (0, settings.port):
        console.print(f"Port {wanted} is in use; using another port.")
    guide = Guide(console, settings)
    threading.Thread(target=guide.run, name="guide", daemon=True).start()
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # the demo has its own words for what `serve` prints
            serve(settings)
    except SystemExit:
        pass  # how a signal ends it
    finally:
        guide.leaving = True
    if guide.failure is not None:
        raise guide.failure
    console.print("The demo has stopped.")
