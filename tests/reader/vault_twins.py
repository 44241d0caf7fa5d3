"""The roots of credentials, for the oracle, and what is derived of them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.reader.oracle import Asker, Key, Listing, Order, Refused, Row, Single, Store, ordered
from tests.reader.skill_twins import found
from tests.reader.words import Arguments, Root, Rule, Value, by, fits, only, tenants

TURNED: Order = by("-rotated_at", "-id")
TOLD: Order = by("-occurred_at", "-id")
ASKED = frozenset(["ANTHROPIC", "OPENAI", "GOOGLE", "CURSOR", "FACTORY", "GITHUB", "GITLAB", "VERCEL"])
LABELS = {1: "L1 · low", 2: "L2 · medium", 3: "L3 · high", 4: "L4 · critical"}
IN_ORDER: Order = (*by("type"), Key(lambda row: row["recency"], False, "time"), *by("id"))


def credentials(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    return Listing("Credential", ordered(matching(store, asker, arguments), IN_ORDER), IN_ORDER, (100, 500))


FOUND: dict[str, Rule] = {
    "status": lambda row, given: row["status"] in given,
    "type": lambda row, given: row["type"] in given,
    "search": lambda row, given: found(row["name"], given),
}
LISTED: dict[str, Rule] = {
    "search": lambda row, given: found(row["name"], given) or found(row["description"] or "", given),
    "tag": lambda row, given: given.strip().lower() in row["tags"],
}


def matching(store: Store, asker: Asker, arguments: Arguments) -> list[Row]:
    return [
        row
        for row in tenants(store, asker, "Credential")
        if all(fits(row, rule, arguments.get(name)) for name, rule in LISTED.items())
    ]


def newest_credentials(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    order = by("-created_at", "-id")
    return Listing("Credential", ordered(matching(store, asker, arguments), order), order, (50, 500))


def find_credentials(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    rows = [
        row
        for row in tenants(store, asker, "Credential")
        if all(fits(row, rule, arguments.get(name)) for name, rule in FOUND.items())
    ]
    return Listing("Credential", ordered(rows, IN_ORDER), IN_ORDER, (50, 100))


def credential(store: Store, asker: Asker, arguments: Arguments) -> Single:
    return only([row for row in tenants(store, asker, "Credential") if row["id"] == arguments["id"]], "Credential")


def crew_ids(store: Store, _: Asker, row: Row) -> list[str]:
    links = [link for link in store.tables["credential_crews"] if link["credential_id"] == row["id"]]
    return [link["crew_id"] for link in sorted(links, key=lambda link: link["position"])]


def agents_of(store: Store, row: Row) -> list[tuple[str, str]]:
    given = {link["agent_id"] for link in store.tables["agent_credentials"] if link["credential_id"] == row["id"]}
    return sorted((a["name"], a["id"]) for a in store.live("agents") if a["id"] in given)


def given_to(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    only([row for row in tenants(store, asker, "Agent") if row["id"] == arguments["agentId"]], "Agent")
    rows = [row for row in tenants(store, asker, "AgentCredential") if row["agent_id"] == arguments["agentId"]]
    return Listing("AgentCredential", ordered(rows, by("env_var_name", "-priority", "id")))


def timeline(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    if asker.role not in ("OWNER", "ADMIN", "MANAGER"):
        raise Refused("FORBIDDEN")
    credential(store, asker, arguments)
    rows = [row for row in tenants(store, asker, "CredentialEvent") if row["credential_id"] == arguments["id"]]
    return Listing("CredentialEvent", ordered(rows, TOLD), TOLD, (50, 500), clamped=False)


def rotations(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    credential(store, asker, arguments)
    rows = [row for row in tenants(store, asker, "CredentialRotation") if row["credential_id"] == arguments["id"]]
    rows = ordered([row for row in rows if row["rotated_by"]], TURNED)
    return Listing("CredentialRotation", rows, TURNED, (100, 500))


def state(store: Store, _: Asker, row: Row) -> str:
    """The status of a rotation, which ends on time."""
    over = row["status"] == "ACTIVE" and row["expires_at"] < datetime.now(UTC)
    return "EXPIRED" if over else row["status"]


def actor(store: Store, row: Row) -> tuple[str, str, str]:
    """The kind, id and name of the actor of a timeline's entry."""
    for kind, table, column in (("user", "users", "full_name"), ("agent", "agents", "name")):
        if id := row[f"{kind}_id"]:
            return kind, id, next((each[column] or "" for each in store.tables[table] if each["id"] == id), "")
    return "system", "", ""


BY_SLOT: Order = by("slot", "scope", "created_at", "id")
SOUGHT: dict[str, Rule] = {
    "scope": lambda row, given: row["scope"] in given,
    "crewId": "crew_id",
    "agentId": "agent_id",
    "credentialId": "credential_id",
    "slot": lambda row, given: row["slot"] == given.strip().upper().replace("-", "_"),
}


def bindings(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    rows = [
        row
        for row in tenants(store, asker, "CredentialBinding")
        if all(fits(row, rule, arguments.get(name)) for name, rule in SOUGHT.items())
    ]
    return Listing("CredentialBinding", ordered(rows, BY_SLOT), BY_SLOT)


def find_bindings(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    found = bindings(store, asker, arguments)
    return Listing("CredentialBinding", found.rows, BY_SLOT, (50, 100))


def fields(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    credential(store, asker, arguments)
    rows = [row for row in tenants(store, asker, "CredentialField") if row["credential_id"] == arguments["id"]]
    return Listing("CredentialField", ordered(rows, by("ordinal", "key")))


def told(column: str) -> Value:
    def of_credential(store: Store, _: Asker, row: Row) -> Any:
        return next(r[column] for r in store.tables["credentials"] if r["id"] == row["credential_id"])

    return of_credential


def credential_count(store: Store, _: Asker, row: Row) -> int:
    return sum(link["agent_id"] == row["id"] for link in store.tables["agent_credentials"])


HERE: dict[str, Root] = {
    "credentials": credentials, "credential": credential, "agentCredentials": given_to, "credentialEvents": timeline,
    "credentialRotations": rotations, "findCredentials": find_credentials,
    "newestCredentials": newest_credentials, "credentialBindings": bindings,
    "findCredentialBindings": find_bindings, "credentialFields": fields,
}  # fmt: skip
ORDERS: dict[str, Order] = {
    "credentials": IN_ORDER, "findCredentials": IN_ORDER, "newestCredentials": by("-created_at", "-id"),
    "findCredentialBindings": BY_SLOT,
}  # fmt: skip
DERIVED: dict[tuple[str, str], Value] = {
    ("Credential", "crew_id"): lambda store, asker, row: next(iter(crew_ids(store, asker, row)), None),
    ("Credential", "crew_ids"): crew_ids,
    ("Credential", "agent_ids"): lambda store, _, row: [id for _, id in agents_of(store, row)],
    ("Credential", "agent_names"): lambda store, _, row: [name for name, _ in agents_of(store, row)],
    ("Credential", "testable"): lambda store, _, row: (
        row["type"] == "ENDPOINT_URL"
        or (row["provider"] in ASKED and (row["provider"], row["type"]) != ("ANTHROPIC", "AI_CLI_TOKEN"))
    ),
    ("Credential", "security_level_label"): lambda store, _, row: LABELS.get(row["security_level"], ""),
    ("Credential", "mcp_used"): lambda store, _, row: any(
        tie["credential_id"] == row["id"] for tie in store.tables["agent_mcp_bindings"]
    ),
    ("CredentialRotation", "old_value_gone"): lambda store, asker, row: state(store, asker, row) != "ACTIVE",
    ("CredentialEvent", "actor_kind"): lambda store, asker, row: actor(store, row)[0],
    ("CredentialEvent", "actor_id"): lambda store, asker, row: actor(store, row)[1],
    ("CredentialEvent", "actor_name"): lambda store, asker, row: actor(store, row)[2],
    ("Agent", "credential_count"): credential_count,
    ("AgentCredential", "expired"): lambda store, _, row: False,
    ("AgentCredential", "grant_source"): lambda store, _, row: "explicit",
    ("CredentialBinding", "credential_name"): told("name"),
    **{("AgentCredential", f"credential_{name}"): told(name) for name in ("name", "type", "provider", "status")},
}


def linked(table: str, key: str) -> Callable[[Store, Row, Row], bool]:
    def joined(store: Store, row: Row, credential: Row) -> bool:
        return any(link[key] == row["id"] and link["credential_id"] == credential["id"] for link in store.tables[table])

    return joined


JOINED: dict[tuple[str, str], Callable[[Store, Row, Row], bool]] = {
    ("Agent", "credentials"): linked("agent_credentials", "agent_id"),
    ("Crew", "credentials"): linked("credential_crews", "crew_id"),
}
SHOWN: dict[tuple[str, str], Value] = {("CredentialRotation", "status"): state}
