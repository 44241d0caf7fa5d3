"""Pull requests of issues: which addresses count, which credential is sent where, and what an answer becomes."""

from typing import Any

import httpx2
import orjson
import pytest

from models.base import new_id
from models.resources.credentials import Credential, CredentialCrew, CredentialScope, CredentialStatus
from models.work.issues import GitProvider
from resolvers.errors import Code, Refusal
from resolvers.instance.outbound import Answered
from resolvers.instance.running import instance
from resolvers.work.issues.pull_requests import PullRequest
from tests.work.issues.board import UNKNOWN, Board
from tests.world import World

pytestmark = pytest.mark.anyio
PULL = "https://github.com/ships/hull/pull/7"
OPEN = {
    "title": "Mend the hull", "state": "open", "draft": False, "merged_at": None, "closed_at": None,
    "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-02T00:00:00Z",
    "user": {"login": "ada"}, "head": {"ref": "leak"}, "base": {"ref": "main"},
}  # fmt: skip
LINK = (
    "mutation($ws: ID, $in: LinkCodeInput!) { linkIssueCode(workspaceId: $ws, input: $in) { url state issue { id } } }"
)
LIST = """
    query($ws: ID, $crew: ID!, $id: String!) {
        issueCodeLinks(workspaceId: $ws, crewId: $crew, identifier: $id) { url }
        issueInCrew(workspaceId: $ws, crewId: $crew, identifier: $id) { codeLinks(first: 5) { nodes { url } } }
    }
"""


class Host:
    """In place of all git hosts."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.answers: list[Answered | Refusal] = []

    def __call__(self, *_: Any, **__: Any) -> "Host":
        return self

    async def __aenter__(self) -> "Host":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def get(self, url: str, *, headers: dict[str, str]) -> Answered:
        self.asked.append((url, headers))
        answer = self.answers.pop(0) if self.answers else says(OPEN)
        if isinstance(answer, Refusal):
            raise answer
        return answer


def says(body: Any, status: int = 200, **headers: str) -> Answered:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return Answered(status, {name.replace("_", "-"): value for name, value in headers.items()}, content)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host()
    monkeypatch.setattr(instance, "http", made)
    return made


@pytest.fixture
async def board(world: World) -> Board:
    """In a world where no earlier test left a credential."""
    await world.database.execute("UPDATE credentials SET status = 'REVOKED'")
    return await Board.of(world)


async def credential(board: Board, value: str = "token", provider: str = "GITHUB", **fields: Any) -> Credential:
    made = Credential(id=new_id(), name=new_id(), type="SECRET", provider=provider, **fields, **board.here)
    made.value = await instance.vault.seal(
        value, table=Credential, column="value", row_id=made.id, workspace_id=board.crew.workspace_id
    )
    await board.world.add(made)
    return made


async def link(board: Board, issue: dict[str, Any], url: Any = PULL, **more: Any) -> httpx2.Response:
    return await board.ask("POST", board.of_issue(issue, "/code-links"), {"url": url}, **more)


async def links(board: Board, issue: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await board.read(board.of_issue(issue, "/code-links"))
    return found


@pytest.mark.parametrize(
    ("text", "url", "api"),
    [
        ("http://github.com/a/b/pulls/12/files?x#y", "http://github.com/a/b/pull/12",
         "https://api.github.com/repos/a/b/pulls/12"),
        ("https://WWW.GitHub.com/a/b/pull/1", "https://github.com/a/b/pull/1",
         "https://api.github.com/repos/a/b/pulls/1"),
        ("https://git.example:8443/a/b/pull/1", "https://git.example:8443/a/b/pull/1",
         "https://git.example:8443/api/v3/repos/a/b/pulls/1"),
        ("https://gitlab.com/g/h/r/-/merge_requests/3/diffs", "https://gitlab.com/g/h/r/-/merge_requests/3",
         "https://gitlab.com/api/v4/projects/g%2Fh%2Fr/merge_requests/3"),
    ],
)  # fmt: skip
def test_addresses(text: str, url: str, api: str) -> None:
    found = PullRequest.of(text)
    assert (found.url, found.api) == (url, api)
    assert found.provider is (GitProvider.GITLAB if "merge" in text else GitProvider.GITHUB)


@pytest.mark.parametrize(
    "text",
    ["https://github.com/a/b", "https://github.com/a/b/pull/0", "https://github.com/a/b/pull/x",
     "https://github.com/a/b/c/pull/1", "ftp://github.com/a/b/pull/1", "https://u:p@github.com/a/b/pull/1",
     "https://u@github.com/a/b/pull/1", "https://github.com/../b/pull/1", "https://github.com/a/../pull/1",
     "https://github.com/a/b%2f/pull/1", "https://github.com/a/b/pull/1x", "https:///a/b/pull/1",
     "https://gitlab.com/r/-/merge_requests/3", f"https://gitlab.com/{'g/' * 25}r/-/merge_requests/3",
     "https://[::1]/a/b/pull/1", "https://github.com\\@evil.example/a/b/pull/1"],
)  # fmt: skip
def test_addresses_of_no_pull_request(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        PullRequest.of(text)
    assert (refused.value.code, refused.value.reason) == (Code.BAD_REQUEST, "code-link/unsupported-url")


async def test_a_pull_request_is_linked_refreshed_and_unlinked(board: Board, host: Host) -> None:
    issue, given = await board.create(), await credential(board)
    since = await board.since()
    answer = await link(board, issue, f"{PULL}/files")
    made = answer.json()
    assert answer.status_code == 201, answer.text
    assert made == {
        "id": made["id"], "mission_id": issue["id"], "workspace_id": board.crew.workspace_id, "provider": "GITHUB",
        "host": "github.com", "owner": "ships", "repo": "hull", "number": 7, "kind": "pull_request", "url": PULL,
        "title": "Mend the hull", "state": "OPEN", "author": "ada", "source_branch": "leak", "target_branch": "main",
        "remote_created_at": "2026-01-01T00:00:00Z", "remote_updated_at": "2026-01-02T00:00:00Z",
        "remote_merged_at": None, "remote_closed_at": None, "credential_id": given.id,
        "last_synced_at": made["last_synced_at"], "last_sync_error": None, "created_at": made["created_at"],
        "updated_at": made["updated_at"],
    }  # fmt: skip
    assert made["last_synced_at"] is not None
    [(url, headers)] = host.asked
    assert (url, headers["authorization"]) == ("https://api.github.com/repos/ships/hull/pulls/7", "Bearer token")
    path = board.of_issue(issue, f"/code-links/{made['id']}")
    host.answers = [says(b"", 500)]
    failed = await board.ask("POST", f"{path}/refresh")
    assert (failed.status_code, failed.json()["code"]) == (502, "provider-unavailable")
    [kept] = await links(board, issue)
    assert (kept["state"], kept["last_sync_error"]) == ("OPEN", failed.json()["detail"])
    host.answers = [says(OPEN | {"state": "closed", "merged_at": "2026-01-03T00:00:00Z"})]
    refreshed = await board.ask("POST", f"{path}/refresh")
    assert refreshed.status_code == 200, refreshed.text
    assert (refreshed.json()["state"], refreshed.json()["last_sync_error"]) == ("MERGED", None)
    gone = await board.ask("DELETE", path)
    assert (gone.status_code, gone.json()) == (200, {"status": "ok"})
    assert await links(board, issue) == []
    assert await board.events(since) == [("issue.updated", {"id": issue["id"]})] * 3
    assert [entry[1:] for entry in await board.activity(issue)] == [
        ("code_link_added", PULL), ("code_link_removed", f"{made['id']}: {PULL}"),
    ]  # fmt: skip
    uses = await board.world.database.fetchval(
        "SELECT count(*) FROM credential_events WHERE credential_id = $1 AND event_type = 'USE'"
        " AND details->>'purpose' = 'code_link_fetch'",
        given.id,
    )
    assert uses == 2


ANSWERS: list[tuple[Answered | Refusal, int, str]] = [
    (says({}, 401), 502, "credential-rejected"), (says({}, 403), 502, "credential-forbidden"),
    (says({}, 404), 404, "pull-request-not-found"), (says({}, 429, retry_after="30"), 429, "rate-limited"),
    (says({}, 403, x_ratelimit_remaining="0"), 429, "rate-limited"), (says({}, 503), 502, "provider-unavailable"),
    (says({}, 302, location="https://evil.example/"), 502, "cross-host-redirect"),
    (says({}, 302, location="http://api.github.com/x"), 502, "cross-host-redirect"),
    (says(b"no JSON"), 502, "unexpected-response"), (says([]), 502, "unexpected-response"),
    (says({"state": 1}), 502, "unexpected-response"),
    (Refusal(Code.BAD_GATEWAY, "The server cannot be reached"), 502, "provider-unavailable"),
    (Refusal(Code.BAD_REQUEST, "The host has a private address"), 422, "blocked-host"),
]  # fmt: skip


async def test_what_a_host_answers_otherwise_stores_nothing(board: Board, host: Host) -> None:
    issue = await board.create()
    await credential(board)
    since = await board.since()
    for answer, status, code in ANSWERS:
        host.answers = [answer]
        refused = await link(board, issue)
        assert (refused.status_code, refused.json()["code"]) == (status, code), refused.text
        assert refused.json()["type"] == f"https://crewship.ai/problems/code-link/{code}"
        assert refused.headers["content-type"] == "application/problem+json"
        if code == "rate-limited" and isinstance(answer, Answered):
            assert refused.headers["retry-after"] == answer.headers.get("retry-after", "1")
    assert (await links(board, issue), await board.events(since), await board.activity(issue)) == ([], [], [])


async def test_redirects_within_the_host_are_followed(board: Board, host: Host) -> None:
    issue = await board.create()
    await credential(board)
    host.answers = [says({}, 301, location="/repositories/1/pulls/7"), says(OPEN)]
    assert (await link(board, issue)).status_code == 201
    assert host.asked[1][0] == "https://api.github.com/repositories/1/pulls/7"
    host.answers = [says({}, 301, location="/x")] * 9
    refused = await link(board, issue, f"{PULL}8")
    assert (refused.status_code, refused.json()["code"]) == (502, "unexpected-response")


async def test_a_pull_request_is_linked_once_to_an_issue(board: Board, host: Host) -> None:
    issue, other = await board.create(), await board.create()
    await credential(board)
    assert (await link(board, issue)).status_code == 201
    host.asked.clear()
    for spelling in (PULL, "http://www.GitHub.com/Ships/HULL/pulls/7#discussion"):
        refused = await link(board, issue, spelling)
        assert (refused.status_code, refused.json()["code"]) == (409, "already-linked")
    assert host.asked == []
    assert (await link(board, other)).status_code == 201


async def test_which_credential_is_sent(board: Board, host: Host) -> None:
    issue, there = await board.create(), await Board.of(board.world)
    own = "https://git.example/a/b/pull/1"
    for fields in ({"status": CredentialStatus.REVOKED}, {"provider": "GITLAB"}, {"account_label": "git.example"}):
        await credential(board, **fields)
    of_crew = await credential(board, "crew", scope=CredentialScope.CREW)
    await board.world.add(CredentialCrew(credential_id=of_crew.id, crew_id=there.crew.id, **board.here))
    refused = await link(board, issue)
    assert (refused.status_code, refused.json()["code"]) == (412, "no-credential")
    assert host.asked == []
    assert (await link(there, await there.create())).status_code == 201
    assert host.asked.pop()[1]["authorization"] == "Bearer crew"
    await credential(board, "oldest")
    await credential(board, "newest")
    assert (await link(board, issue)).status_code == 201
    assert host.asked.pop()[1]["authorization"] == "Bearer oldest"
    assert (await link(board, issue, own)).status_code == 201
    assert host.asked.pop()[1]["authorization"] == "Bearer token"
    refused = await link(board, issue, "https://evil.example/a/b/pull/1")
    assert (refused.status_code, host.asked) == (412, [])
    assert (await link(board, issue, "https://gitlab.com/a/b/-/merge_requests/2")).status_code == 201
    assert host.asked.pop()[1] == {"private-token": "token"}


async def test_a_credential_that_cannot_be_read_is_sent_nowhere(board: Board, host: Host) -> None:
    issue = await board.create()
    await credential(board, "two lines\nhost: evil")
    refused = await link(board, issue)
    assert (refused.status_code, refused.json()["code"], host.asked) == (502, "credential-unreadable", [])


async def test_who_may_link_and_where(board: Board, host: Host) -> None:
    world, issue = board.world, await board.create()
    await credential(board)
    made = (await link(board, issue)).json()
    other, foreign = await board.create(), await Board.of(world, world.other)
    theirs = await foreign.create()
    for person in (world.viewer, world.member, world.outsider):
        assert (await link(board, issue, f"{PULL}1", person=person)).status_code == 403
        for method, end in (("POST", "/refresh"), ("DELETE", "")):
            path = board.of_issue(issue, f"/code-links/{made['id']}{end}")
            assert (await board.ask(method, path, person=person)).status_code == 403
    for bad in ({"url": ""}, {}):
        refused = await board.ask("POST", board.of_issue(issue, "/code-links"), bad)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid-body")
    assert (await link(board, issue, 7)).status_code == 400
    for at, of in ((board, {"identifier": UNKNOWN}), (board, theirs)):
        refused = await link(at, of, f"{PULL}2")
        assert (refused.status_code, refused.json()["code"]) == (404, "issue-not-found")
    for at, of, code in ((board, other, "link-not-found"), (foreign, theirs, "link-not-found"),
                         (board, theirs, "issue-not-found")):  # fmt: skip
        for method, end in (("POST", "/refresh"), ("DELETE", "")):
            refused = await at.ask(method, at.of_issue(of, f"/code-links/{made['id']}{end}"))
            assert (refused.status_code, refused.json()["code"]) == (404, code)
    assert [each["id"] for each in await links(board, issue)] == [made["id"]]


async def test_in_graphql(board: Board, host: Host) -> None:
    issue = await board.create()
    await credential(board)
    sent = {"crewId": board.crew.id, "identifier": issue["identifier"], "url": PULL}
    made = await board.data(LINK, **{"in": sent})
    assert made == {"url": PULL, "state": "OPEN", "issue": {"id": issue["id"]}}
    answer = await board.world.graphql(board.person, LINK, {"ws": board.crew.workspace_id, "in": sent})
    assert answer["errors"][0]["extensions"] == {"code": "CONFLICT", "reason": "code-link/already-linked"}
    read = {"ws": board.crew.workspace_id, "crew": board.crew.id, "id": issue["identifier"]}
    answer = await board.world.graphql(board.person, LIST, read)
    assert answer["data"]["issueCodeLinks"] == answer["data"]["issueInCrew"]["codeLinks"]["nodes"] == [{"url": PULL}]
