"""What the caller may do with a row, for the oracle: the roles and rules by hand."""

from collections.abc import Callable

from resolvers.kernel.declarations.operation import OPERATIONS
from tests.reader.oracle import Asker, Row, Store
from tests.reader.words import Value

ADMINS = ["OWNER", "ADMIN"]
MANAGERS = [*ADMINS, "MANAGER"]
MEMBERS = [*MANAGERS, "MEMBER", "VIEWER"]
Holds = Callable[[Store, Asker, Row], bool]


def always(*_: object) -> bool:
    return True


def made_agent(store: Store, asker: Asker, agent: Row) -> bool:
    own = agent["created_by_user_id"] is not None and agent["created_by_user_id"] == asker.user_id
    mine = [m for m in store.live("crew_members") if m["user_id"] == asker.user_id and m["role"] in ADMINS]
    return own or agent["crew_id"] in [m["crew_id"] for m in mine]


def role_in(store: Store, asker: Asker, row: Row) -> str | None:
    own = [m for m in store.live("memberships") if m["user_id"] == asker.user_id]
    return next((m["role"] for m in own if m["workspace_id"] == row["workspace_id"]), None)


def edits(store: Store, asker: Asker, agent: Row) -> bool:
    return role_in(store, asker, agent) in ADMINS or made_agent(store, asker, agent)


def made_chat(store: Store, asker: Asker, chat: Row) -> bool:
    return chat["created_by"] is not None and chat["created_by"] == asker.user_id


def changes_chat(store: Store, asker: Asker, chat: Row) -> bool:
    role, agent = role_in(store, asker, chat), store.by_id("agents", chat["agent_id"])
    edited = role == "MANAGER" and agent is not None and made_agent(store, asker, agent)
    return made_chat(store, asker, chat) or role in ADMINS or edited


def shares_chat(store: Store, asker: Asker, chat: Row) -> bool:
    return made_chat(store, asker, chat) or role_in(store, asker, chat) in ADMINS


def no_owner(store: Store, asker: Asker, member: Row) -> bool:
    return member["role"] != "OWNER"


def another(store: Store, asker: Asker, member: Row) -> bool:
    return no_owner(store, asker, member) and member["user_id"] != asker.user_id


def not_above(store: Store, asker: Asker, member: Row) -> bool:
    role = role_in(store, asker, member)
    return role == "OWNER" or member["role"] not in {"ADMIN": ["OWNER"], "MANAGER": ADMINS}.get(role or "", MEMBERS)


def own_view(store: Store, asker: Asker, view: Row) -> bool:
    return view["user_id"] == asker.user_id


def channel_of(roles: list[str]) -> Holds:
    """Whose the channel is, or who has one of the roles where it is the workspace's."""

    def holds(store: Store, asker: Asker, channel: Row) -> bool:
        if channel["scope"] == "workspace" and role_in(store, asker, channel) in roles:
            return True
        return channel["owner_user_id"] is not None and channel["owner_user_id"] == asker.user_id

    return holds


def not_built_in(store: Store, asker: Asker, template: Row) -> bool:
    return not template["is_builtin"]


def issue(store: Store, asker: Asker, row: Row) -> bool:
    return row["mission_type"] == "issue"


ROLES = {
    "participate": MEMBERS,
    "create": MANAGERS,
    "update": MANAGERS,
    "manage": ADMINS,
    "delete": ADMINS,
    "owner": ["OWNER"],
}
WITHOUT_SUBJECT = {
    "Approval": {"approvals.decide", "approvals.cancel"},
    "Chat": {"chats.send", "chats.steer", "chats.cancel"},
    "Membership": {"members.remove"},
}
CHANGED = channel_of(ADMINS)
RULES: dict[str, Holds] = {
    "agents.update": edits,
    "agents.delete": edits,
    "agents.webhook_secret_rotate": edits,
    "webhooks.configure": edits,
    "webhooks.test": edits,
    "chats.rename": changes_chat,
    "chats.delete": changes_chat,
    "chats.participants_add": shares_chat,
    "chats.participants_remove": shares_chat,
    **dict.fromkeys([f"notification_channels.{act}" for act in ("update", "agents_allow", "agents_deny")], CHANGED),
    "notification_channels.delete": channel_of(MANAGERS),
    "members.remove": no_owner,
    "members.capabilities_update": another,
    "members.update_role": not_above,
    "saved_views.update": own_view,
    "saved_views.delete": own_view,
    "templates.update": not_built_in,
    "templates.delete": not_built_in,
}
"""Operations that ask more of a row than the role. One that is not listed asks for the role alone."""


def commands(model: str) -> list[tuple[str, Holds, str]]:
    """What each command on rows of the model asks for."""
    found = []
    for op in OPERATIONS.values():
        on = op.subject is not None and op.subject.model.__name__ == model
        if op.kind == "command" and op.called and (on or op.name in WITHOUT_SUBJECT.get(model, ())):
            rule = issue if on and op.subject is not None and op.subject.called == "Issue" else always
            found.append((op.action.value, RULES.get(op.name, rule), op.called[0]))
    return found


def viewer_can(model: str) -> Value:
    def value(store: Store, asker: Asker, row: Row) -> list[str]:
        groups = dict[tuple[str, Holds], list[str]]()
        for action, holds, name in commands(model):
            groups.setdefault((str(ROLES[action]), holds), []).append(name)
        role, made = role_in(store, asker, row), list[str]()
        for (roles, holds), names in sorted(groups.items(), key=lambda group: min(group[1])):
            if f"'{role}'" in roles and holds(store, asker, row):
                made += sorted(names)
        return made

    return value


MODELS = (
    "Agent", "Approval", "Chat", "Membership", "Mission", "NotificationChannel", "SavedRoutine", "SavedView",
    "WorkflowTemplate",
)  # fmt: skip
DERIVED: dict[tuple[str, str], Value] = {(model, "viewer_can"): viewer_can(model) for model in MODELS}
