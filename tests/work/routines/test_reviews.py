"""Reviews: which changes wait for one, what approving and rejecting do, and the switch."""

from typing import Any

import pytest

from models.resources.integrations import CrewIntegration
from tests.work.issues.board import Board, word
from tests.work.routines.yard import CODE, STEP, act, changes, document, items, saved

pytestmark = pytest.mark.anyio
HTTP = {"id": "h", "type": "http", "http": {"method": "GET", "url": "https://api.example.com/x"}}


async def status(board: Board, slug: str) -> str:
    return (await act(board, "GET", slug)).json()["status"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("definition", "reasons"),
    [
        (document(), None),
        (document({"id": "n", "type": "notify", "notify": {"to": "workspace", "title": "Hi"}}), None),
        (document(egress_targets=["api.example.com"]), ["egress_targets"]),
        (document(HTTP), ["http_step"]),
        (document(CODE), ["code_step"]),
        (document(STEP | {"hooks": {"before": HTTP}}), ["http_step"]),
        (document(hooks={"on_failure": CODE}), ["code_step"]),
        (document({"id": "f", "type": "foreach", "foreach": {"items": "[1]", "steps": [CODE]}}), ["code_step"]),
        (document(credentials_required=[{"type": "stripe"}]), ["credentials_required"]),
        (document(integrations_required=["slack", "charts"]), ["unmet_integration:slack"]),
        (
            document(HTTP, CODE, egress_targets=["x.example.com"], credentials_required=[{"type": "y"}]),
            ["egress_targets", "http_step", "code_step", "credentials_required"],
        ),
    ],
)
async def test_what_can_reach_out_is_proposed(board: Board, definition: Any, reasons: list[str] | None) -> None:
    charts = CrewIntegration(
        crew_id=board.crew.id, name="Charts", display_name="Charts", transport="stdio", command="charts", **board.here
    )  # fmt: skip
    await board.world.add(charts)
    made = await saved(board, word(), definition, author_crew_id=board.crew.id)
    assert (made["status"], made.get("risk_reasons")) == ("proposed" if reasons else "active", reasons)
    assert await items(board, made["slug"]) == ([("unread", None)] if reasons else [])


async def test_a_risk_that_was_approved_is_not_reviewed_again(board: Board) -> None:
    slug, since = word(), await board.since()
    await saved(board, slug, document(CODE))
    assert (await act(board, "POST", slug, "/approve", person=board.world.manager)).json() == {
        "slug": slug, "status": "active"
    }  # fmt: skip
    assert await items(board, slug) == [("resolved", "approved")]
    assert (await saved(board, slug, document(CODE, STEP)))["status"] == "active"
    more = await saved(board, slug, document(CODE, HTTP))
    assert (more["status"], more["risk_reasons"]) == ("proposed", ["http_step", "code_step"])
    assert (await act(board, "GET", slug)).json()[
        "inbox_item_id"
    ] == f"ibx_escalation_routineprop:{board.crew.workspace_id}:{slug}"
    assert await items(board, slug) == [("unread", None)]
    assert (await saved(board, slug, document()))["status"] == "active"
    assert await items(board, slug) == [("resolved", "superseded")]
    assert await changes(board, since) == ["saved", "approved", "saved", "saved", "saved"]


async def test_the_gate_is_skipped_by_the_owner(board: Board) -> None:
    made = await saved(board, word(), document(CODE), skip_governance_gate=True)
    assert (made["status"], await items(board, made["slug"])) == ("active", [])


async def test_a_rejected_change_returns_to_the_active_version(board: Board) -> None:
    slug = word()
    first = await saved(board, slug, document())
    await saved(board, slug, document(CODE))
    rejected = await act(board, "POST", slug, "/reject", person=board.world.manager)
    assert (rejected.status_code, rejected.json()) == (200, {"slug": slug, "status": "rejected"})
    now = (await act(board, "GET", slug)).json()
    assert (now["status"], now["definition_hash"]) == ("active", first["definition_hash"])
    assert (now["definition"], now["manifest"]) == (first["definition"], first["manifest"])
    assert await items(board, slug) == [("resolved", "rejected")]
    assert (await act(board, "POST", slug, "/reject")).status_code == 409


async def test_a_rejected_new_routine_is_deleted(board: Board) -> None:
    slug, since = word(), await board.since()
    await saved(board, slug, document(CODE))
    assert (await act(board, "POST", slug, "/reject")).status_code == 200
    assert (await act(board, "GET", slug)).status_code == 404
    assert (await act(board, "POST", slug, "/reject")).status_code == 404
    assert await changes(board, since) == ["saved", "rejected"]


@pytest.mark.parametrize("path", ["/approve", "/reject"])
async def test_only_a_proposed_routine_is_decided(board: Board, path: str) -> None:
    slug, before = (await saved(board))["slug"], await board.world.snapshot()
    refused = await act(board, "POST", slug, path)
    assert refused.status_code == 409
    assert refused.json()["status"] == "active"
    assert (await act(board, "POST", word(), path)).status_code == 404
    assert await board.world.snapshot() == before


async def test_a_disabled_routine_stays_so_through_saves(board: Board) -> None:
    slug, since = word(), await board.since()
    await saved(board, slug, document())
    answer = {"slug": slug, "status": "disabled", "cancelled_runs": 0}
    assert (await act(board, "POST", slug, "/disable")).json() == answer
    before = await board.world.snapshot()
    assert (await act(board, "POST", slug, "/disable")).json() == answer
    assert await board.world.snapshot() == before
    assert (await saved(board, slug, document(CODE)))["status"] == "disabled"
    assert (await saved(board, slug, document(HTTP), skip_governance_gate=True))["status"] == "disabled"
    assert (await act(board, "POST", slug, "/enable")).json() == {"slug": slug, "status": "active"}
    assert await status(board, slug) == "active"
    assert await changes(board, since) == ["saved", "disabled", "saved", "saved", "enabled"]


async def test_a_proposed_routine_is_not_enabled(board: Board) -> None:
    slug = word()
    await saved(board, slug, document(CODE))
    assert (await act(board, "POST", slug, "/enable")).status_code == 409
    assert (await act(board, "POST", slug, "/disable")).status_code == 200
    assert await items(board, slug) == [("resolved", "disabled")]
    assert await status(board, slug) == "disabled"


@pytest.mark.parametrize(
    ("path", "person"), [("/disable", "manager"), ("/enable", "manager"), ("/approve", "member"), ("/reject", "viewer")]
)
async def test_who_may_not_decide_is_refused(board: Board, path: str, person: str) -> None:
    slug = (await saved(board))["slug"]
    assert (await act(board, "POST", slug, path, person=getattr(board.world, person))).status_code == 403
    assert await status(board, slug) == "active"
