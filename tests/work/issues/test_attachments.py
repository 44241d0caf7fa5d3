"""Files of issues: what is accepted, who may send and read it, and when the bytes go."""

import asyncio
import base64
import hashlib
from pathlib import Path
from typing import Any

import httpx2
import pytest

from resolvers.instance.running import instance
from resolvers.kernel import across_workspaces
from resolvers.people.workspaces import files
from runtime.engine.background import carried
from runtime.engine.service import Runtime
from runtime.people import workspaces
from tests.people.recovery.mailbox import QUICK
from tests.runtime.doubles import Wardrobe, speaks
from tests.work.issues.board import UNKNOWN, Board
from tests.work.issues.test_internal import ask
from tests.world import Person, World

pytestmark = pytest.mark.anyio
ATTACH = """
    mutation($ws: ID, $in: AttachToIssueInput!) {
        attachToIssue(workspaceId: $ws, input: $in) {
            id filename alreadyAttached attachment { contentType issue { id } }
        }
    }
"""
LIST = """
    query($ws: ID, $crew: ID!, $id: String!) {
        issueAttachments(workspaceId: $ws, crewId: $crew, identifier: $id) {
            filename sizeBytes uploadedByName uploader { id }
        }
    }
"""
PAGE = """
    query($ws: ID, $crew: ID!, $id: String!) {
        issueInCrew(workspaceId: $ws, crewId: $crew, identifier: $id) { attachments(first: 1) { nodes { filename } } }
    }
"""
DELETE = """
    mutation($ws: ID, $in: OfAttachmentInput!) { deleteIssueAttachment(workspaceId: $ws, input: $in) { attachmentId } }
"""


async def send(
    board: Board,
    issue: dict[str, Any],
    name: str,
    content: bytes = b"hello",
    person: Person | None = None,
    **query: str,
) -> httpx2.Response:
    head = f'--XX\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
    return await board.world.client(person or board.person).post(
        board.of_issue(issue, "/attachments"),
        params={"workspace_id": board.crew.workspace_id, **query},
        content=head + content + b"\r\n--XX--\r\n",
        headers={"content-type": "multipart/form-data; boundary=XX"},
    )


async def attached(board: Board, issue: dict[str, Any], name: str, content: bytes = b"hello") -> dict[str, Any]:
    answer = await send(board, issue, name, content)
    assert answer.status_code == 201, answer.text[:300]
    made: dict[str, Any] = answer.json()
    return made


async def get(board: Board, issue: dict[str, Any], id: str, person: Person | None = None) -> httpx2.Response:
    return await board.ask("GET", board.of_issue(issue, f"/attachments/{id}"), person=person)


def place(board: Board, content: bytes) -> Path:
    root = board.world.settings.storage_path / "workspaces" / board.crew.workspace_id / "issue_files"
    return root / hashlib.sha256(content).hexdigest() / "content"


class Ticking:
    async def write(self, change):  # type: ignore[no-untyped-def]
        return await across_workspaces(change)


async def carried_out(world: World) -> None:
    """Removes bytes as far as a job is queued for it."""
    jobs = tuple(each for each in carried() if each.job is files.UNUSED)
    runtime = Runtime(world.settings, Wardrobe(speaks), jobs=jobs, rhythm=QUICK)
    unfinished = "SELECT count(*) FROM dbos.workflow_status WHERE name = $1 AND status IN ('ENQUEUED', 'PENDING')"
    await runtime.start()
    try:
        async with asyncio.timeout(30):
            while await world.database.fetchval(unfinished, files.UNUSED.name):
                await asyncio.sleep(0.05)
    finally:
        await runtime.stop()


async def total(board: Board) -> int:
    found = await board.world.database.fetchval(
        "SELECT bytes FROM attachment_totals WHERE workspace_id = $1", board.crew.workspace_id
    )
    return found or 0


async def test_a_file_is_attached_listed_read_and_deleted(board: Board) -> None:
    issue, since, before = await board.create(), await board.since(), await total(board)
    made = await attached(board, issue, "..\\notes/Tide.TXT", b"high <b>water</b>")
    assert made == {
        "id": made["id"], "workspace_id": board.crew.workspace_id, "owner_type": "issue", "owner_id": issue["id"],
        "filename": "Tide.TXT", "content_type": "text/plain; charset=utf-8", "size_bytes": 17,
        "sha256": hashlib.sha256(b"high <b>water</b>").hexdigest(), "uploaded_by_user_id": board.person.user_id,
        "uploaded_by_agent_id": None, "uploaded_by_name": made["uploaded_by_name"], "created_at": made["created_at"],
    }  # fmt: skip
    second = await attached(board, issue, "empty.json", b"")
    assert await board.events(since) == [("issue.updated", {"id": issue["id"]})] * 2
    assert await board.read(board.of_issue(issue, "/attachments")) == [second, made]
    assert await total(board) == before + 17
    answer = await get(board, issue, made["id"])
    assert (answer.status_code, answer.content) == (200, b"high <b>water</b>")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="Tide.TXT"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-length"] == "17"
    gone = await board.ask("DELETE", board.of_issue(issue, f"/attachments/{made['id']}"))
    assert (gone.status_code, gone.json()) == (200, {"status": "ok"})
    assert await board.read(board.of_issue(issue, "/attachments")) == [second]
    assert (await get(board, issue, made["id"])).status_code == 404
    assert await total(board) == before
    line = "Tide.TXT (text/plain; charset=utf-8, 17 bytes)"
    assert [(action, details) for _, action, details in await board.activity(issue)] == [
        ("attachment_added", line),
        ("attachment_added", "empty.json (application/json, 0 bytes)"),
        ("attachment_removed", line),
    ]


async def test_the_same_file_is_one_and_the_same_bytes_are_kept_once(board: Board) -> None:
    issue, other, since = await board.create(), await board.create(), await board.since()
    made = await attached(board, issue, "a.txt", b"same")
    again = await send(board, issue, "x/a.txt", b"same")
    assert (again.status_code, again.json()) == (200, made | {"already_attached": True})
    renamed, there = await attached(board, issue, "b.md", b"same"), await attached(board, other, "a.txt", b"same")
    assert len({made["id"], renamed["id"], there["id"]}) == 3
    assert len(await board.events(since)) == 3
    for kept, issue_of, each in ((True, issue, made), (True, issue, renamed), (False, other, there)):
        assert (await board.ask("DELETE", board.of_issue(issue_of, f"/attachments/{each['id']}"))).status_code == 200
        await carried_out(board.world)
        assert place(board, b"same").exists() is kept
    assert (await send(board, issue, "a.txt", b"same")).status_code == 201
    assert place(board, b"same").read_bytes() == b"same"


@pytest.mark.parametrize(
    ("name", "status"),
    [("", 400), ("a/..", 400), ("n" * 252 + ".txt", 400), ("a\tb.txt", 400), ("page.html", 415), ("image.svg", 415),
     ("run.sh", 415), ("nothing", 415), (".txt", 415), ("a.txt.exe", 415)],
)  # fmt: skip
async def test_what_is_not_accepted_leaves_nothing(board: Board, name: str, status: int) -> None:
    issue = await board.create()
    refused = await send(board, issue, name, b"refused")
    assert refused.status_code == status, refused.text
    if status == 415:
        assert ".txt, .log" in refused.json()["error"]
    assert await board.read(board.of_issue(issue, "/attachments")) == []
    assert not place(board, b"refused").exists()


async def test_forms_that_are_none_or_too_large(board: Board) -> None:
    issue = await board.create()
    path = board.of_issue(issue, "/attachments")
    assert (await board.ask("POST", path, {"filename": "a.txt", "content_base64": "YQ=="})).status_code == 400
    assert (await send(board, issue, "a.txt", b"x" * (25 << 20))).status_code == 413
    assert await board.read(path) == []


async def test_who_may_send_and_read(board: Board) -> None:
    world, issue = board.world, await board.create()
    made = await attached(board, issue, "a.txt")
    for person, reads in ((world.viewer, 200), (world.member, 200), (world.outsider, 403)):
        assert (await send(board, issue, "b.txt", person=person)).status_code == 403
        path = board.of_issue(issue, f"/attachments/{made['id']}")
        assert (await board.ask("DELETE", path, person=person)).status_code == 403
        assert (await get(board, issue, made["id"], person)).status_code == reads
    assert [each["id"] for each in await board.read(board.of_issue(issue, "/attachments"))] == [made["id"]]


async def test_a_file_belongs_to_its_issue_crew_and_workspace(board: Board) -> None:
    issue, other, there = await board.create(), await board.create(), await Board.of(board.world)
    made = await attached(board, issue, "a.txt")
    foreign = await Board.of(board.world, board.world.other)
    theirs = await foreign.create()
    for at, of in ((board, other), (there, issue), (board, {"identifier": UNKNOWN}), (board, theirs)):
        assert (await get(at, of, made["id"])).status_code == 404
        assert (await at.ask("DELETE", at.of_issue(of, f"/attachments/{made['id']}"))).status_code == 404
    assert (await foreign.ask("GET", foreign.of_issue(theirs, f"/attachments/{made['id']}"))).status_code == 404
    assert (await send(there, issue, "a.txt")).status_code == 404
    assert (await get(board, issue, made["id"])).status_code == 200


async def test_in_graphql(board: Board) -> None:
    issue = await board.create()
    of = {"crewId": board.crew.id, "identifier": issue["identifier"]}
    sent = of | {"filename": "plan.md", "contentBase64": base64.b64encode(b"# Plan").decode()}
    made = await board.data(ATTACH, **{"in": sent})
    assert made["attachment"] == {"contentType": "text/markdown; charset=utf-8", "issue": {"id": issue["id"]}}
    assert (await board.data(ATTACH, **{"in": sent}))["alreadyAttached"] is True
    read = {"crew": board.crew.id, "id": issue["identifier"]}
    [listed] = await board.data(LIST, **read)
    assert (listed["filename"], listed["sizeBytes"]) == ("plan.md", 6)
    assert listed["uploader"] == {"id": board.person.user_id}
    assert (await board.data(PAGE, **read))["attachments"]["nodes"] == [{"filename": "plan.md"}]
    assert (await get(board, issue, made["id"])).content == b"# Plan"
    for bad in ({"contentBase64": "!"}, {"filename": ""}):
        assert (await board.code(ATTACH, **{"in": sent | bad}))[0] == "BAD_REQUEST"
    assert (await board.code(ATTACH, **{"in": sent | {"filename": "a.exe"}}))[0] == "UNSUPPORTED_MEDIA_TYPE"
    assert (await board.code(ATTACH, board.world.member, **{"in": sent}))[0] == "FORBIDDEN"
    gone = await board.data(DELETE, **{"in": of | {"attachmentId": made["id"]}})
    assert gone == {"attachmentId": made["id"]}
    assert await board.data(LIST, **read) == []


async def test_agents_read_and_attach_files(board: Board) -> None:
    issue = await board.create()
    path, long = f"/{issue['identifier']}/attachments", b"z" * (128 << 10) + b"end"
    await attached(board, issue, "long.txt", long)
    await attached(board, issue, "dot.png", b"\x89PNG")
    listed = (await ask(board, "GET", path)).json()
    assert [each["uploaded_by"] for each in listed] == ["user", "user"]
    assert [each["filename"].startswith("<untrusted-") for each in listed] == [True, True]
    image, text = [(await ask(board, "GET", f"{path}/{each['id']}")).json() for each in listed]
    assert (image["encoding"], base64.b64decode(image["content"]), image["truncated"]) == ("base64", b"\x89PNG", False)
    assert (text["encoding"], text["truncated"]) == ("text", True)
    assert text["content"].partition(">")[2].partition("<")[0] == "z" * (128 << 10)
    body = {"filename": "found.csv", "content_base64": base64.b64encode(b"a,b").decode(), "agent_id": board.worker.id}
    made = await ask(board, "POST", path, body)
    assert (made.status_code, made.json()["uploaded_by"]) == (201, "agent")
    assert (await ask(board, "POST", path, body)).status_code == 200
    [newest, *_] = await board.read(board.of_issue(issue, "/attachments"))
    assert (newest["uploaded_by_agent_id"], newest["uploaded_by_name"]) == (board.worker.id, board.worker.name)
    unknown = await ask(board, "POST", path, body | {"filename": "other.csv", "agent_id": UNKNOWN})
    assert unknown.status_code == 201
    [newest, *_] = await board.read(board.of_issue(issue, "/attachments"))
    assert (newest["uploaded_by_agent_id"], newest["uploaded_by_user_id"]) == (None, None)


async def test_what_agents_may_not_send(board: Board) -> None:
    issue, foreign = await board.create(), await Board.of(board.world, board.world.other)
    path, good = f"/{issue['identifier']}/attachments", {"filename": "a.txt", "content_base64": "YQ=="}
    large = base64.b64encode(b"x" * ((6 << 20) + 1)).decode()
    for status, changes in (
        (400, {"filename": ""}), (400, {"content_base64": ""}), (400, {"content_base64": "?"}),
        (413, {"content_base64": large}), (415, {"filename": "a.html"}),
        (404, {"workspace_id": foreign.crew.workspace_id}),
    ):  # fmt: skip
        assert (await ask(board, "POST", path, good | changes)).status_code == status, changes
    assert (await ask(board, "POST", path, good, token="wrong")).status_code == 403
    assert (await ask(board, "GET", f"{path}/{UNKNOWN}")).status_code == 404
    assert await board.read(board.of_issue(issue, "/attachments")) == []


async def test_an_issue_has_a_number_of_files_and_a_workspace_a_number_of_bytes(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    from resolvers.staff.chats import quota
    from resolvers.work.issues import attachments

    issue, before = await board.create(), await total(board)
    await attached(board, issue, "a.txt")
    with monkeypatch.context() as limits:
        limits.setattr(attachments, "MOST_FILES", 1)
        assert (await send(board, issue, "b.txt")).status_code == 409
        assert (await send(board, issue, "a.txt")).status_code == 200
    monkeypatch.setattr(attachments, "most", lambda: before + 9)
    assert (await send(board, issue, "b.txt", b"12345")).status_code == 413
    assert (await send(board, issue, "b.txt", b"1234")).status_code == 201
    assert await total(board) == before + 9
    assert quota.most() > before


async def test_bytes_go_with_their_issue(board: Board) -> None:
    issue, other, before = await board.create(), await board.create(), await total(board)
    await attached(board, issue, "a.txt", b"of one issue")
    for each in (issue, other):
        await attached(board, each, "b.txt", b"of two issues")
    assert (await board.ask("DELETE", board.of_issue(issue))).status_code == 204
    await carried_out(board.world)
    assert await total(board) == before + len(b"of two issues")
    assert not place(board, b"of one issue").exists()
    assert place(board, b"of two issues").exists()


async def test_a_clock_finds_bytes_without_a_row_and_no_others(board: Board) -> None:
    issue, lost = await board.create(), place(board, b"lost")
    await attached(board, issue, "a.txt", b"kept here")
    lost.parent.mkdir(parents=True)
    lost.write_bytes(b"lost")
    await workspaces.remove_files(Ticking())  # type: ignore[arg-type]
    await carried_out(board.world)
    assert not lost.exists()
    assert place(board, b"kept here").read_bytes() == b"kept here"


async def test_bytes_that_are_gone_are_not_found_and_come_back(board: Board) -> None:
    issue = await board.create()
    made = await attached(board, issue, "a.txt", b"fragile")
    assert await instance.store.discard(*files.bytes_of_issues(board.crew.workspace_id, made["sha256"]))
    refused = await get(board, issue, made["id"])
    assert (refused.status_code, refused.json()["error"]) == (404, "The content of the file is gone")
    assert (await send(board, issue, "a.txt", b"fragile")).status_code == 200
    assert (await get(board, issue, made["id"])).content == b"fragile"
