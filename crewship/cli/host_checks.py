"""Checks of the doctor where PostgreSQL is on other hosts: its clock, and its replicas."""

import time

import asyncpg

from crewship.cli.checks import Check
from resolvers.instance.clock import APART

PATIENCE = 5.0  # seconds that a commit may take
TIME = "SELECT extract(epoch FROM clock_timestamp())::float8"
COMMIT = "SELECT pg_logical_emit_message(true, 'crewship', '')"
"""It changes no row, and its commit waits for the replicas that every other waits for."""


async def check_clock(connection: "asyncpg.Connection[asyncpg.Record]") -> Check:
    asked = time.time()
    stored: float = await connection.fetchval(TIME)
    ahead = (asked + time.time()) / 2 - stored
    if abs(ahead) <= APART:
        return Check("clock", True, "the database's, within a second")
    side = "ahead of" if ahead > 0 else "behind"
    found = f"{abs(ahead):.0f} s {side} the database's, whose time is taken"
    return Check("clock", False, found, "synchronise the clocks of both hosts, by NTP")


async def check_commits(connection: "asyncpg.Connection[asyncpg.Record]") -> Check:
    names: str = await connection.fetchval("SHOW synchronous_standby_names")
    began = time.monotonic()
    try:
        await connection.execute(COMMIT, timeout=PATIENCE)
    except TimeoutError:
        if not names:
            return Check("commits", False, f"none within {PATIENCE:g} s", "look for what holds up PostgreSQL's disk")
        found = f"they wait for a replica of synchronous_standby_names ({names}), so nothing is written"
        fix = "start the replica, or empty the setting (ALTER SYSTEM), by which what is written can be lost"
        return Check("commits", False, found, fix)
    took = f"{(time.monotonic() - began) * 1000:.0f} ms"
    return Check("commits", True, f"{took}, with a replica ({names})" if names else took)
