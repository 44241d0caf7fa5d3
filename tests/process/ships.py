"""A server with something to lose, for tests of backups."""

import json
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.process.commands import PATIENCE, environment, migrated, run, serving, until

OWNER = {"full_name": "Ada", "email": "ada@example.com", "password": "correct horse battery staple"}
PASSPHRASE = "a passphrase of several words"
SECRET = "hunter2 of the harbour"


def ask(port: int, method: str, path: str, token: str | None = None, body: Any = None) -> Any:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    assert answer.status < 300, (path, answer.status, content)
    return json.loads(content) if content[:1] in (b"{", b"[") else content


class Ship:
    """A server with an owner, a workspace, a crew with a file, and a credential; it does not run."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.data_dir = directory, migrated(directory / "data")
        self.passphrase = directory / "passphrase"
        self.passphrase.write_text(PASSPHRASE + "\n")
        self.env = environment(self.data_dir)
        with serving(env=self.env) as served:
            self.token = ask(served.port, "POST", "/api/v1/bootstrap", None, OWNER)["cli_token"]
            [own, *_] = ask(served.port, "GET", "/api/v1/workspaces", self.token)
            self.workspace, self.slug = own["id"], own["slug"]
            at = f"?workspace_id={self.workspace}"
            crew = ask(served.port, "POST", f"/api/v1/crews{at}", self.token, {"name": "Deck", "slug": "deck"})
            self.crew = crew["id"]
            secret = {"name": "KEY", "type": "SECRET", "provider": "NONE", "value": SECRET}
            ask(served.port, "POST", f"/api/v1/credentials{at}", self.token, secret)
            until(lambda: json.loads(run("audit", "verify", "--json", env=self.env).stdout)["rows"] > 0)
            # while it serves
            self.instance = self.backup("create", "--passphrase-file", str(self.passphrase))
            self.one = self.backup("create", "--workspace", self.slug, "--no-encrypt")
            assert served.end() == 0

    def backup(self, *arguments: str) -> dict[str, Any]:
        done = run("backup", *arguments, "--json", env=self.env, within=3 * PATIENCE)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))
