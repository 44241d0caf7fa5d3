"""floor-rows: what an expert writes by hand. One statement for the gate, one for the data, the JSON made in Python."""

from typing import Any

import orjson

from bench.cases import ROOTS
from bench.servers import statements as sql
from bench.servers.floor import Connection, Floor, new_id


def dump(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_UTC_Z | orjson.OPT_PASSTHROUGH_SUBCLASS)


class RowsFloor(Floor):
    async def user_of(self, connection: Connection, token: bytes, workspace: str) -> str | None:
        member = await connection.fetchrow(sql.MEMBER, token, workspace)
        return None if member is None else member[0]

    async def crews(self, connection: Connection, workspace: str) -> bytes:
        return dump([dict(row) for row in await connection.fetch(sql.CREWS, workspace)])

    async def crew(self, connection: Connection, workspace: str, crew: str) -> bytes:
        return dump(dict(await connection.fetchrow(sql.CREW, workspace, crew)))

    async def create_issue(self, connection: Connection, workspace: str, user: str, issue: dict[str, Any]) -> bytes:
        key, crew = new_id(), issue["crew_id"]
        async with connection.transaction():
            prefix, number = await connection.fetchrow(sql.NEXT_NUMBER, crew, workspace)
            identifier = f"{prefix}-{number}"
            values = (
                key,
                workspace,
                crew,
                number,
                identifier,
                issue["title"],
                issue["description"],
                issue["priority"],
                user,
            )
            row = await connection.fetchrow(sql.INSERT_ISSUE, *values)
            await connection.execute(sql.INSERT_AUDIT, workspace, user, key, {"identifier": identifier})
            await connection.execute(
                sql.INSERT_EVENT, workspace, {"id": key, "crew_id": crew, "identifier": identifier}
            )
        return dump(dict(row))

    async def update_crew(
        self, connection: Connection, workspace: str, user: str, crew: str, changes: dict[str, Any]
    ) -> bytes:
        async with connection.transaction():
            await connection.fetchrow(sql.LOCK_CREW, crew, workspace)
            await connection.execute(sql.UPDATE_CREW, crew, workspace, changes["description"])
            row = await connection.fetchrow(sql.CREW, workspace, crew)
            await connection.execute(sql.AUDIT_UPDATE, workspace, user, crew, {"fields": ["description"]})
            await connection.execute(sql.TELL_UPDATE, workspace, {"id": crew, "name": row["name"], "slug": row["slug"]})
        return dump(dict(row))

    async def graphql_crews(self, connection: Connection, workspace: str) -> bytes:
        crews = [
            {"id": row[0], "name": row[1], "slug": row[2], "agents": []}
            for row in await connection.fetch(sql.NAMED_CREWS, workspace)
        ]
        agents = {crew["id"]: crew["agents"] for crew in crews}
        for row in await connection.fetch(sql.AGENTS_OF, list(agents)):
            agents[row[0]].append({"id": row[1], "name": row[2], "status": row[3]})
        return orjson.dumps({"data": {"crews": crews}})

    async def graphql_crew(self, connection: Connection, workspace: str, crew: str) -> bytes:
        return orjson.dumps({"data": {"crew": dict(await connection.fetchrow(sql.NAMED_CREW, workspace, crew))}})

    async def graphql_roots(self, connection: Connection, workspace: str, crew: str) -> bytes:
        return orjson.dumps(
            {"data": {f"c{n}": dict(await connection.fetchrow(sql.NAMED_CREW, workspace, crew)) for n in range(ROOTS)}}
        )


app = RowsFloor()
