"""`crewship serve` of any checkout, as it comes, with its embedded PostgreSQL: what `bench.attacks` attacks.

The first start makes an owner, a workspace and a VIEWER; later starts find them in the data directory.
"""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.environment import DIRECTORY, LOGS
from bench.load import BYTECODE, STOP_SECONDS, free_port

PASSWORD = "correct horse battery"
SILENT = 0
"""Instead of a status: no answer within the patience, or the connection was cut."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = b""
    cookies: Mapping[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class People:
    """Who lives in an instance, by their CLI tokens; `chats` belong to the workspace's one agent."""

    workspace: str = ""
    owner: str = ""
    viewer: str = ""
    agent: str = ""
    chats: list[str] = field(default_factory=list)


class Instance:
    """`patience`: seconds to wait for one answer. `hurry` ends after `limit` seconds: what is repeated stops then."""

    def __init__(self, name: str, checkout: Path, python: Path, *, patience: float, limit: float) -> None:
        self.name, self.patience, self.limit = name, patience, limit
        self._checkout, self._python = checkout, python
        self.data = DIRECTORY / "attacks" / name
        self.log = LOGS / f"attacks-{name}.log"
        self.people = People()
        self._process: subprocess.Popen[str] | None = None
        self.port, self._began = 0, 0.0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def hurry(self) -> float:
        """Seconds that are left to the attack."""
        return self._began + self.limit - time.monotonic()

    def start(self, settings: Mapping[str, str], descriptors: int | None = None) -> None:
        """With the soft limit on descriptors, if it is given, that a shell or a unit file would set."""
        self.port = free_port()
        variables = {
            "CREWSHIP_DATA_DIR": str(self.data),
            "CREWSHIP_PORT": str(self.port),
            "CREWSHIP_SKIP_UPDATE_CHECK": "true",
            **settings,
        }
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(self._checkout), **BYTECODE, **variables}
        limit = f"ulimit -Sn {descriptors}; " if descriptors else ""
        command = ["sh", "-c", limit + 'exec "$@"', "sh", str(self._python), "-m", "crewship", "serve"]
        with self.log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=self._checkout,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        if "serves at" not in self._process.stdout.readline():
            self.stop()
            raise SystemExit(f"{self.name} did not start:\n{self.log.read_text()[-3000:]}")
        self._began = time.monotonic()

    def stop(self, *, at_once: bool = False) -> None:
        """`at_once`: without asking, as it may not hear; its PostgreSQL ends with it."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        below = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL if at_once else signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        psutil.wait_procs(below, STOP_SECONDS)

    # ---- asking ------------------------------------------------------------------------------------------------------

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=self.patience, source_address=(source, 0))

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str | None = None,
        *,
        source: str = "127.0.0.1",
        headers: Mapping[str, str] | None = None,
        patience: float | None = None,
    ) -> Answer:
        """`body` is sent as it is if it is bytes, else as JSON."""
        sent = dict(headers or {})
        if token:
            sent["authorization"] = f"Bearer {token}"
        content = body if body is None or isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
        if content is not None:
            sent.setdefault("content-type", "application/json")
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=patience or self.patience, source_address=(source, 0)
        )
        with closing(connection):
            try:
                connection.request(method, path, content, sent)
                response = connection.getresponse()
                cookies = (text.partition(";")[0].partition("=") for text in response.headers.get_all("set-cookie", []))
                return Answer(response.status, response.read(), {name: value for name, _, value in cookies})
            except (OSError, http.client.HTTPException):
                return Answer(SILENT)

    def graphql(
        self, query: str, variables: Mapping[str, Any] | None = None, token: str | None = None, **options: Any
    ) -> Answer:
        return self.ask("POST", "/graphql", {"query": query, "variables": variables or {}}, token, **options)

    def of_workspace(self, path: str) -> str:
        return f"{path}?workspace_id={self.people.workspace}"

    # ---- who is there ------------------------------------------------------------------------------------------------

    def populate(self) -> None:
        """A fresh data directory with people in it; the service is stopped again."""
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.parent.mkdir(parents=True, exist_ok=True)
        self.start({"CREWSHIP_ALLOW_SIGNUP": "true"})
        try:
            made = self._made(
                "/api/v1/bootstrap", {"full_name": "Owner", "email": "owner@example.com", "password": PASSWORD}
            )
            people = self.people = People(made["workspace_id"], made["cli_token"])
            people.viewer = self._viewer()
            crew = self._made(self.of_workspace("/api/v1/crews"), {"name": "Crew", "slug": "crew"}, people.owner)
            agent = {"name": "Agent", "slug": "agent", "crew_id": crew["id"], "agent_role": "AGENT"}
            people.agent = self._made(self.of_workspace("/api/v1/agents"), agent, people.owner)["id"]
            for number in range(20):
                chat = self._made(
                    self.of_workspace(f"/api/v1/agents/{people.agent}/chats"), {"title": f"chat {number}"}, people.owner
                )
                people.chats.append(chat["id"])
        finally:
            self.stop()

    def _made(self, path: str, body: Any, token: str | None = None, **options: Any) -> Any:
        answer = self.ask("POST", path, body, token, **options)
        if answer.status not in (200, 201):
            raise SystemExit(f"{self.name}: POST {path}: {answer.status} {answer.body[:300]!r}")
        return answer.json

    def _viewer(self) -> str:
        """Signs up, is added by the owner, and logs in for a token."""
        email = "viewer@example.com"
        user = self._made("/api/v1/auth/signup", {"full_name": "Viewer", "email": email, "password": PASSWORD})
        self._made(
            f"/api/v1/workspaces/{self.people.workspace}/members",
            {"user_id": user.get("id") or user["user_id"], "role": "VIEWER"},
            self.people.owner,
        )
        csrf = self.ask("GET", "/api/auth/csrf")
        login = {"email": email, "password": PASSWORD, "csrfToken": csrf.json["csrfToken"], "redirect": "false"}
        cookie = {"cookie": "; ".join(f"{name}={value}" for name, value in csrf.cookies.items())}
        session = self.ask("POST", "/api/auth/callback/credentials", login, headers=cookie).cookies
        own = {
            "cookie": "; ".join(f"{name}={value}" for name, value in session.items()),
            "origin": f"http://127.0.0.1:{self.port}",
        }
        return str(self._made("/api/v1/auth/cli-token", {"name": "viewer"}, headers=own)["token"])
