"""State machines: those of the contract, each state of the set with its ways out, and what declarations may not say."""

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.attention.approvals import APPROVAL_STATES
from models.attention.inbox import INBOX_STATES
from models.machines import MACHINES, Machine
from models.oversight.keeper import KEEPER_STATES
from models.people.gdpr import GDPR_STATES
from models.resources.credentials import ROTATION_STATES
from models.staff.agents import AGENT_STATES, Agent, AgentStatus
from models.staff.assignments import ESCALATION_STATES, PEER_CONVERSATION_STATES
from models.staff.memory import PROPOSAL_STATES
from models.staff.runs import RUN_STATES, RunStatus
from models.work.missions import (
    ISSUE_BOARD,
    ISSUE_STATES,
    MISSION_ACTIONS,
    MISSION_STATES,
    TASK_BY_ENGINE,
    TASK_STATES,
    MissionStatus,
)
from models.work.routine_runs import ROUTINE_RUN_STATES, SIGNAL_STATES, WAITPOINT_STATES
from models.work.saved_routines import ROUTINE_STATES
from tests.every import each_of

CONTRACT = Path(__file__).parents[1] / "contract" / "files"
DOCUMENTED: dict[str, Machine[Any, Any]] = {
    "admin.GdprAction": GDPR_STATES,
    "agents.Agent": AGENT_STATES,
    "chats.Run": RUN_STATES,
    "credentials.Rotation": ROTATION_STATES,
    "memory.Proposal": PROPOSAL_STATES,
    "crews.PeerConversation": PEER_CONVERSATION_STATES,
    "escalations.Escalation": ESCALATION_STATES,
    "extras.Approval": APPROVAL_STATES,
    "extras.Inbox": INBOX_STATES,
    "issues.Issue": ISSUE_STATES,
    "keeper.KeeperRequest": KEEPER_STATES,
    "missions.Mission": MISSION_STATES,
    "missions.MissionActions": MISSION_ACTIONS,
    "missions.Task": TASK_STATES,
    "missions.TaskByEngine": TASK_BY_ENGINE,
    "routine-runs.Routine": ROUTINE_STATES,
    "routine-runs.RoutineRun": ROUTINE_RUN_STATES,
    "routine-runs.SignalWait": SIGNAL_STATES,
    "routine-runs.Waitpoint": WAITPOINT_STATES,
}
"""The contract's file and the name it has there."""


def documented(name: str) -> dict[str, set[str]]:
    file, _, states = name.partition(".")
    found: dict[str, Any] = yaml.safe_load((CONTRACT / f"{file}.yaml").read_text())["states"][states]
    if any(isinstance(following, str) for following in found.values()):
        return paths(found.values())
    return {state: set(following) for state, following in found.items()}


def paths(texts: Iterable[str]) -> dict[str, set[str]]:
    """Of lines such as `COMPLETED|FAILED -> PLANNING`."""
    made = defaultdict[str, set[str]](set)
    for text in texts:
        for before, after in pairwise(text.split(" -> ")):
            for state in before.split("|"):
                made[state] |= {*after.split("|")}
    return made


@each_of("name", DOCUMENTED)
def test_a_machine_is_the_contracts(name: str) -> None:
    machine = DOCUMENTED[name]
    assert {state.value: {to.value for to in following} for state, following in machine.moves.items() if following} == {
        state: following for state, following in documented(name).items() if following
    }


def test_every_machine_stands_in_the_contract() -> None:
    derived = [ISSUE_BOARD]
    assert set(map(id, MACHINES)) == set(map(id, [*DOCUMENTED.values(), *derived]))


def test_a_board_leads_where_single_steps_lead_without_an_end_in_between() -> None:
    between = {MissionStatus.BACKLOG, MissionStatus.TODO, MissionStatus.IN_PROGRESS, MissionStatus.REVIEW}

    def walked(state: MissionStatus, seen: frozenset[MissionStatus]) -> set[MissionStatus]:
        found = set[MissionStatus]()
        for to in ISSUE_STATES.moves[state]:
            found |= {to} | (walked(to, seen | {to}) if to in between and to not in seen else set())
        return found

    for state, leads in ISSUE_BOARD.moves.items():
        assert leads == walked(state, frozenset({state})) - {state}, state
    assert {state for state, leads in ISSUE_BOARD.moves.items() if MissionStatus.DUPLICATE not in leads} == {
        MissionStatus.DUPLICATE
    }
    assert all(ISSUE_STATES.moves[state] <= leads for state, leads in ISSUE_BOARD.moves.items())


def test_what_a_machine_may_not_say() -> None:
    known = list(MACHINES)
    with pytest.raises(TypeError, match="has no column mood"):
        Machine(Agent, "mood", AGENT_STATES.moves)
    with pytest.raises(TypeError, match="has no column stopped_at"):
        Machine(Agent, "status", AGENT_STATES.moves, stamps={"stopped_at": frozenset({AgentStatus.STOPPED})})
    with pytest.raises(TypeError, match="leads to its own states alone"):
        Machine(Agent, "status", {AgentStatus.IDLE: frozenset({AgentStatus.STOPPED})})
    with pytest.raises(TypeError, match="says of each of its states"):
        Machine(Agent, "status", {RunStatus.FAILED: frozenset()})
    with pytest.raises(TypeError, match="says of each of its states"):
        Machine(Agent, "name", {})
    with pytest.raises(TypeError, match="leads to its own states alone"):
        Machine(Agent, "status", {**AGENT_STATES.moves, AgentStatus.IDLE: frozenset({RunStatus.FAILED})})  # type: ignore[dict-item]
    assert known == MACHINES
