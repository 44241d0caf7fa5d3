"""The roots of skills, for the oracle, and what is derived of them."""

from tests.reader.oracle import Asker, Key, Listing, Order, Refused, Row, Single, Store, ordered
from tests.reader.words import Arguments, Root, Value, by, only, tenants

SEARCHED = ("name", "display_name", "description")
DECIDES = ("OWNER", "ADMIN", "MANAGER")
RANKS = ("OFFICIAL", "CURATED", "COMMUNITY", "EXPERIMENTAL")
IN_ORDER: Order = (Key(lambda row: RANKS.index(row["maturity"]), False, "whole"), *by("name", "id"))


def assigned(store: Store, asker: Asker, row: Row) -> list[Row]:
    """The assignments of a skill to live agents of the workspace."""
    agents = {a["id"] for a in store.live("agents") if a["workspace_id"] == asker.workspace_id}
    return [tie for tie in store.tables["agent_skills"] if tie["skill_id"] == row["id"] and tie["agent_id"] in agents]


def skills(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    rows = list(store.tables["skills"])
    for name in ("category", "source", "vendor", "maturity", "runtime"):
        if (value := arguments.get(name)) is not None:
            rows = [row for row in rows if row[name] == value]
    if (search := arguments.get("search")) is not None:
        rows = [row for row in rows if any(found(row[name], search) for name in SEARCHED)]
    if (agent := arguments.get("installedForAgentId")) is not None:
        rows = [r for r in rows if any(t["enabled"] and t["agent_id"] == agent for t in assigned(store, asker, r))]
    elif arguments.get("installed"):
        rows = [r for r in rows if any(t["enabled"] for t in assigned(store, asker, r))]
    return Listing("Skill", ordered(rows, IN_ORDER), IN_ORDER)


def found(text: str | None, search: str) -> bool:
    return text is not None and lowered(search) in lowered(text)


def lowered(text: str) -> str:
    """ASCII letters alone."""
    return "".join([c.lower() if c.isascii() else c for c in text])


def skill(store: Store, asker: Asker, arguments: Arguments) -> Single:
    return only([row for row in store.tables["skills"] if row["id"] == arguments["id"]], "Skill")


def agent_skills(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    agents = [a for a in tenants(store, asker, "Agent") if a["id"] == arguments["agentId"]]
    if not agents:
        raise Refused("NOT_FOUND")
    rows = [tie for tie in store.tables["agent_skills"] if tie["agent_id"] == agents[0]["id"]]
    return Listing("AgentSkill", ordered(rows, by("created_at", "id")))


def proposed_skills(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    if asker.role not in DECIDES:
        raise Refused("FORBIDDEN")
    if not arguments["crewId"]:
        raise Refused("BAD_REQUEST")
    crews = [crew for crew in tenants(store, asker, "Crew") if crew["id"] == arguments["crewId"]]
    if not crews:
        raise Refused("NOT_FOUND")
    rows = [row for row in store.tables["skill_proposals"] if row["crew_id"] == crews[0]["id"]]
    return Listing("SkillProposal", ordered(rows, by("file_name", "id")))


HERE: dict[str, Root] = {
    "skills": skills, "findSkills": skills, "skill": skill, "agentSkills": agent_skills,
    "proposedSkills": proposed_skills,
}  # fmt: skip
GATED = {("Crew", "skillProposals"): DECIDES}
"""Fields that lead to rows which not every member may see."""


def usage(store: Store, asker: Asker, row: Row) -> Single:
    id = f"{row['id']}:{asker.workspace_id}"
    return Single("SkillUsage", {"id": id, "agent_count": len(assigned(store, asker, row))})


REPORTS: dict[tuple[str, str], Value] = {("Skill", "usage"): usage}
DERIVED: dict[tuple[str, str], Value] = {
    ("Skill", "agent_count"): lambda store, asker, row: len(assigned(store, asker, row)),
}


def crew_has(store: Store, crew: Row, skill: Row) -> bool:
    """Whether a live agent of the crew has the skill, and it is enabled."""
    agents = {row["id"] for row in store.live("agents") if row["crew_id"] == crew["id"]}
    ties = (tie for tie in store.tables["agent_skills"] if tie["skill_id"] == skill["id"] and tie["enabled"])
    return any(tie["agent_id"] in agents for tie in ties)


JOINED = {("Crew", "skills"): crew_has}
