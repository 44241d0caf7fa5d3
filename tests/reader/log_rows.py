"""Lines of logs, for the library of rows: of the audit log, and of calls of MCP tools."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sqlmodel import SQLModel

from models.kernel import AuditActor, AuditLog
from models.oversight.audit import McpCallStatus, McpServerScope, McpToolCall
from models.staff.agents import Agent
from models.staff.crews import Crew

if TYPE_CHECKING:
    from tests.reader.rows import Sower


def logs(sower: "Sower", crews: list[Crew], agents: list[Agent]) -> Iterator[SQLModel]:
    pick = sower.random.choice
    for number in range(12):
        created = sower.time()
        yield AuditLog(
            user_id=sower.maybe(pick(sower.people).user_id, 0.8),
            action=pick(["crew.created", "create", "update"]),
            entity_type=pick(["CREW", "AGENT", "agent", sower.text()]),
            entity_id=sower.maybe(pick(agents).id),
            data={"n": number, "t": sower.text(), "nested": {"longer": [1, None, {}], "l": sower.text()}},
            actor_type=pick(list(AuditActor)),
            actor_id=sower.maybe(pick(sower.people).user_id),
            changes=sower.maybe({"name": {"before": sower.text(), "after": None}, "b": {"before": 1, "after": [2]}}),
            ip_address=sower.maybe("192.0.2.1"),
            user_agent=sower.maybe(sower.text()),
            created_at=created,
            **sower.here,
        )
        yield McpToolCall(
            agent_id=pick(agents).id,
            crew_id=sower.maybe(pick(crews).id),
            mcp_server_id=pick(["charts", "tides"]),
            mcp_server_scope=pick(list(McpServerScope)),
            tool_name=sower.text(),
            status=pick(list(McpCallStatus)),
            duration_ms=sower.maybe(pick([0, 1, -1, 2**31 - 1, -(2**31), 4096])),
            error_message=sower.maybe(sower.text()),
            created_at=created,
            **sower.here,
        )
