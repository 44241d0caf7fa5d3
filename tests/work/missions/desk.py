"""A crew that has missions, and ways to make and change them: without workers, so that what is started stays so."""

from dataclasses import dataclass
from typing import Any

from tests.work.issues.board import Board


@dataclass
class Desk(Board):
    @property
    def missions(self) -> str:
        return f"/api/v1/crews/{self.crew.id}/missions"

    def at(self, mission: dict[str, Any], part: str = "") -> str:
        return f"{self.missions}/{mission['id']}{part}"

    async def done(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        answer = await self.ask(method, path, body)
        assert answer.status_code == status, answer.text[:300]
        return answer.json() if answer.content else None

    async def refused(self, method: str, path: str, body: Any = None, status: int = 400) -> str:
        answer = await self.ask(method, path, body)
        assert answer.status_code == status, answer.text[:300]
        detail: str = answer.json()["detail"]
        return detail

    async def made(self, title: str = "Sail", **fields: Any) -> dict[str, Any]:
        made: dict[str, Any] = await self.done(
            "POST", self.missions, {"title": title, "lead_agent_id": self.lead.id, **fields}, 201
        )
        return made

    async def task(self, mission: dict[str, Any], title: str = "Hoist", **fields: Any) -> dict[str, Any]:
        made: dict[str, Any] = await self.done("POST", self.at(mission, "/tasks"), {"title": title, **fields}, 201)
        return made

    async def move(self, mission: dict[str, Any], task: dict[str, Any], *states: str) -> dict[str, Any]:
        for status in states:
            task = await self.done("PATCH", self.at(mission, f"/tasks/{task['id']}"), {"status": status})
        return task

    async def shown(self, mission: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = await self.read(self.at(mission))
        return found

    async def states(self, mission: dict[str, Any]) -> dict[str, str]:
        """Title -> status of the tasks."""
        return {task["title"]: task["status"] for task in (await self.shown(mission)).get("tasks", [])}

    async def put(self, mission: dict[str, Any], status: str) -> None:
        """A state that came without any operation."""
        await self.world.database.execute("UPDATE missions SET status = $1 WHERE id = $2", status, mission["id"])

    async def put_task(self, task: dict[str, Any], status: str, **values: Any) -> None:
        sets = ", ".join(f"{name} = ${n}" for n, name in enumerate(values, 3))
        await self.world.database.execute(
            f"UPDATE mission_tasks SET status = $1{', ' * bool(sets)}{sets} WHERE id = $2",
            status, task["id"], *values.values(),
        )  # fmt: skip

    async def told(self, mission: dict[str, Any], since: int) -> list[tuple[str, str, str]]:
        """(channel's kind, type, status or title) of what was told of the mission and its tasks."""
        found = []
        for event in await self.world.events(since):
            payload = event["payload"]
            if mission["id"] in (payload.get("id"), payload.get("mission_id"), event["channel"].partition(":")[2]):
                kind = event["channel"].partition(":")[0]
                found.append((kind, event["type"], payload.get("status", payload.get("title", ""))))
        return found

    async def jobs(self, mission: dict[str, Any], name: str = "missions.drive") -> int:
        """Of a name and about the mission, that wait."""
        sql = (
            "SELECT count(*) FROM dbos.workflow_status WHERE name = $2 AND status IN ('ENQUEUED', 'PENDING', 'DELAYED')"
            " AND concat(workflow_uuid, deduplication_id) LIKE '%' || $1 || '%'"
        )
        count: int = await self.world.database.fetchval(sql, mission["id"], name)
        return count
