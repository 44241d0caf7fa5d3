"""Runs that go wrong where nobody looks are in the inbox of managers, once."""

import pytest

from models.staff.runs import Run
from tests.runtime.doubles import Does, speaks
from tests.runtime.estate import Estate
from tests.runtime.shop import Shop, failing

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_waits")]
FAILS = failing(ValueError("boom"))


@pytest.mark.parametrize(
    ("trigger", "does", "told"),
    [("CRON", FAILS, 1), ("WEBHOOK", FAILS, 1), ("CRON", speaks, 0), ("USER", FAILS, 0)],
)
async def test_who_is_told_of_a_failed_run(estate: Estate, shop: Shop, trigger: str, does: Does, told: int) -> None:
    agent = await estate.agent()
    run = Run(agent_id=agent.id, workspace_id=estate.workspace.id, prompt="p", trigger_type=trigger)
    await estate.add(run)
    await shop.worker(does)
    ended = await estate.ended(run.id)
    items = await estate.owner.fetch("SELECT * FROM inbox_items WHERE source_id = $1", run.id)
    assert len(items) == told
    heard = [payload for type, payload in await estate.events() if type == "inbox.updated"]
    assert len([payload for payload in heard if payload["id"].endswith(run.id)]) == told
    for item in items:
        assert (item["kind"], item["state"], item["target_role"]) == ("failed_run", "unread", "MANAGER")
        assert (item["priority"], item["blocking"], item["sender_id"]) == ("high", False, agent.id)
        assert item["body_md"] == ended.error_message
        payload = {key: item["payload"][key] for key in ("run_id", "agent_id", "trigger_type", "status")}
        assert payload == {"run_id": run.id, "agent_id": agent.id, "trigger_type": trigger, "status": "FAILED"}
