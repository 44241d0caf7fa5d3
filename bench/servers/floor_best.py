"""floor-best: as far down as it goes by hand. The gate is cached for 5 s, PostgreSQL makes the JSON, an issue is one
statement, and a connection goes back to the pool without the reset round trip.
"""

import time
from typing import Any

from bench.servers import statements as sql
from bench.servers.floor import Connection, Floor, fetch_json, new_id

CACHE_SECONDS = 5.0


async def no_reset(_: Connection) -> None:
    """The statements here leave nothing behind on a connection."""


class BestFloor(Floor):
    def __init__(self) -> None:
        self.users: dict[tuple[bytes, str], tuple[str | None, float]] = {}

    async def open(self, **options: Any) -> None:
        await super().open(reset=no_reset, **options)

    async def user_of(self, connection: Connection, token: bytes, workspace: str) -> str | None:
        key, now = (token, workspace), time.monotonic()
        cached = self.users.get(key)
        if cached is not None and cached[1] > now:
            return cached[0]
        member = await connection.fetchrow(sql.MEMBER, token, workspace)
        user = None if member is None else member[0]
        self.users[key] = (user, now + CACHE_SECONDS)
        return user

    async def crews(self, connection: Connection, workspace: str) -> bytes:
        return await fetch_json(connection, sql.CREWS_JSON, workspace)

    async def crew(self, connection: Connection, workspace: str, crew: str) -> bytes:
        return await fetch_json(connection, sql.CREW_JSON, workspace, crew)

    async def create_issue(self, connection: Connection, workspace: str, user: str, issue: dict[str, Any]) -> bytes:
        values = (new_id(), workspace, issue["crew_id"], issue["title"], issue["description"], issue["priority"], user)
        return await fetch_json(connection, sql.CREATE_ISSUE_JSON, *values)

    async def update_crew(
        self, connection: Connection, workspace: str, user: str, crew: str, changes: dict[str, Any]
    ) -> bytes:
        return await fetch_json(connection, sql.UPDATE_CREW_JSON, crew, workspace, changes["description"], user)

    async def graphql_crews(self, connection: Connection, workspace: str) -> bytes:
        return await fetch_json(connection, sql.GRAPHQL_CREWS_JSON, workspace)

    async def graphql_crew(self, connection: Connection, workspace: str, crew: str) -> bytes:
        return await fetch_json(connection, sql.GRAPHQL_CREW_JSON, workspace, crew)

    async def graphql_roots(self, connection: Connection, workspace: str, crew: str) -> bytes:
        return await fetch_json(connection, sql.GRAPHQL_ROOTS_JSON, workspace, crew)


app = BestFloor()
