"""Which files an agent reaches: the folders that its commands find, and what they may do there."""

from typing import Any

from sqlalchemy import Boolean, Text, and_, select, union_all

from models.staff.agents import Agent
from resolvers.kernel import EVERYONE, Action, View, constant, extend, graph, reads
from resolvers.rules.agent_folders import HOME, OUTPUT, SKILLS

FOLDERS = ((OUTPUT, True, True), (HOME, True, False), (SKILLS, False, False))


class AgentFolder(View):
    """A folder of an agent's sandbox. `shared`: with the agents of its crew."""

    path: str
    writable: bool
    shared: bool


def _folder(path: str, writable: bool, shared: bool) -> Any:
    flags = {"writable": writable, "shared": shared}
    told = [constant(value, Boolean()).label(name) for name, value in flags.items()]
    return select(constant(path, Text(), as_="text").label("path"), *told)


def folders_of(row: Any) -> Any:
    known = union_all(*[_folder(*folder) for folder in FOLDERS]).subquery()
    shared = and_(known.c.shared, row.crew_id.is_not(None)).label("shared")
    return select(known.c.path, known.c.writable, shared).select_from(known)


graph(AgentFolder, gate=Action.READ, scope="agents:read", visible=EVERYONE)
extend(Agent, folders=reads(AgentFolder, lambda row, scope: folders_of(row), order_by="path"))
