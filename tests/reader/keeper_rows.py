"""Requests to the keeper, for the library of rows: of agents and credentials that are there, and of none."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sqlmodel import SQLModel

from models.base import new_id
from models.oversight.keeper import KeeperDecision, KeeperRequest, KeeperRequestType
from models.staff.agents import Agent

if TYPE_CHECKING:
    from tests.reader.rows import Sower


def asked(sower: "Sower", agents: list[Agent]) -> Iterator[SQLModel]:
    pick = sower.random.choice
    for _ in range(24):
        agent = pick([*agents, None])
        yield KeeperRequest(
            request_type=pick(list(KeeperRequestType)),
            agent_id="" if agent is None else agent.id,
            crew_id="" if agent is None else agent.crew_id or "",
            credential_id=pick(["", new_id()]),
            intent=sower.text(),
            command=sower.maybe(sower.text()),
            decision=pick(list(KeeperDecision)),
            reason=sower.maybe(sower.text()),
            risk_score=sower.maybe(pick([1, 10])),
            exit_code=sower.maybe(pick([-1, 0, 1])),
            prompt=sower.maybe(sower.text()),
            answer=sower.maybe(sower.text()),
            created_at=sower.time(),
            decided_at=sower.maybe(sower.time()),
            **sower.here,
        )
