"""The roots of service accounts, for the oracle; and what is told of tokens."""

from datetime import timedelta
from typing import Any

from tests.reader.oracle import Asker, Listing, Refused, Row, Single, Store, ordered
from tests.reader.words import NEWEST, Arguments, Root, Value, only, tenants


def managed(store: Store, asker: Asker) -> list[Row]:
    if asker.role not in ("OWNER", "ADMIN"):
        raise Refused("FORBIDDEN")
    return tenants(store, asker, "ServiceAccount")


def service_accounts(store: Store, asker: Asker, _: Arguments) -> Listing:
    return Listing("ServiceAccount", ordered(managed(store, asker), NEWEST), NEWEST, (50, 100))


def service_account(store: Store, asker: Asker, arguments: Arguments) -> Single:
    return only([row for row in managed(store, asker) if row["id"] == arguments["id"]], "ServiceAccount")


def expires_soon(store: Store, asker: Asker, row: Row) -> bool:
    if row["expires_at"] is None or row["revoked_at"] or row["rotated_at"]:
        return False
    left, life = row["expires_at"] - store.tables["now"][0]["now"], row["expires_at"] - row["created_at"]
    return bool(timedelta(0) < left < min(timedelta(days=7), life / 4))


def visits(store: Store, asker: Asker, workspace_id: str | None = None) -> list[Any]:
    own = [m for m in store.tables["memberships"] if m["user_id"] == asker.user_id and m["seen_at"] is not None]
    return [member["seen_at"] for member in own if workspace_id in (None, member["workspace_id"])]


def viewer(store: Store, asker: Asker) -> Row | None:
    user = store.by_id("users", asker.user_id)
    return None if user is None else {**user, "last_seen_at": max(visits(store, asker), default=None)}


KEPT = {
    "run_retention_days": "runs", "credential_audit_retention_days": "credential_events",
    "audit_log_retention_days": "audit",
}  # fmt: skip
ALL = [
    "chat", "credential.create", "credential.rotate", "issue.create", "memory.write", "routine.create", "skill.create",
]  # fmt: skip
BY_ROLE = {"OWNER": ALL, "ADMIN": ALL, "MANAGER": ["chat", "issue.create", "memory.write", "routine.create"]}
KNOWN = sorted([*ALL, "credentials:reveal", "page.create", "routine.run"])


def capabilities(store: Store, asker: Asker, row: Row) -> list[str] | None:
    for own in store.tables["memberships"]:
        if own["workspace_id"] == row["id"] and own["user_id"] == asker.user_id:
            if own["capabilities"] is None:
                return BY_ROLE.get(own["role"], ["chat"])
            return [name for name in KNOWN if name == "chat" or name in own["capabilities"]]
    return None


def kept(kind: str) -> Value:
    def value(store: Store, _: Asker, row: Row) -> int | None:
        rules = store.tables["retention_rules"]
        return next((r["days"] for r in rules if r["workspace_id"] == row["id"] and r["kind"] == kind), None)

    return value


HERE: dict[str, Root] = {"serviceAccounts": service_accounts, "serviceAccount": service_account}
DERIVED: dict[tuple[str, str], Value] = {
    ("CliToken", "expires_soon"): expires_soon,
    ("Workspace", "last_seen_at"): lambda store, asker, row: max(visits(store, asker, row["id"]), default=None),
    ("Workspace", "current_user_capabilities"): capabilities,
    **{("Workspace", name): kept(kind) for name, kind in KEPT.items()},
    ("ServiceAccount", "active"): lambda store, _, row: row["deactivated_at"] is None,
}


def known_of(column: str, otherwise: str | None) -> Value:
    """What is shown of a person: to themselves, and to members of a workspace whose member they have accepted to be."""

    def value(store: Store, asker: Asker, row: Row) -> str | None:
        mine = {m["workspace_id"] for m in store.live("memberships") if m["user_id"] == asker.user_id}
        known = [m for m in store.live("memberships") if m["user_id"] == row["id"] and m["accepted_at"] is not None]
        return row[column] if row["id"] == asker.user_id or mine & {m["workspace_id"] for m in known} else otherwise

    return value


SHOWN = {("User", "email"): known_of("email", ""), ("User", "avatar_url"): known_of("avatar_url", None)}
