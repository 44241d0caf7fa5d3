"""The rows of a crew: the crew, what belongs to it, and what that refers to inside the workspace.

A row is in if all that it needs is in: the rows to which a required foreign key leads, and of a table without one the
crew or agent that a column names. An optional reference that leads outside is empty.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from sqlalchemy import and_, case, null, or_, select, union
from sqlmodel import SQLModel

from models.base import table_of
from models.people.auth import User
from models.people.workspaces import Workspace
from models.personal_data import AUTHOR, BY, WHOSE, of_column
from models.resources.skills import AgentSkill, Skill
from resolvers.oversight.backups.tables import carried, columns_of, names_person

NAMED: Final[Mapping[str, Mapping[str, str]]] = {
    "approvals": {"crew_id": "crews"},
    "agents": {"crew_id": "crews"},
    "approval_gates": {"crew_id": "crews", "agent_id": "agents"},
    "budgets": {"crew_id": "crews", "agent_id": "agents", "mission_id": "missions"},
    "message_feedback": {"chat_id": "chats"},
    "triage_rules": {"crew_id": "crews"},
}
"""Tables whose rows belong to a crew by an optional column, or by one without a foreign key; one of them is enough."""
REFERRED: Final[Mapping[str, Mapping[str, str]]] = {
    "labels": {"issue_labels": "label_id"},
    "projects": {"missions": "project_id", "recurring_issues": "project_id"},
    "milestones": {"missions": "milestone_id", "recurring_issues": "milestone_id"},
}
"""Tables of the workspace of which a bundle has the rows that a crew's rows refer to."""
OF_THE_WORKSPACE: Final[Mapping[str, str]] = {
    "agent_credentials": "secrets are of the workspace",
    "agent_mcp_bindings": "they lead to servers and secrets of the workspace",
    "approval_outcomes": "of rules of the workspace",
    "budget_spends": "they are counted anew",
    "chat_participants": "members of the workspace",
    "cost_days": "costs are accounts of the workspace",
    "credential_bindings": "secrets are of the workspace",
    "credential_crews": "secrets are of the workspace",
    "credential_events": "secrets are of the workspace",
    "credential_fields": "secrets are of the workspace",
    "credential_rotations": "secrets are of the workspace",
    "credentials": "secrets are of the workspace",
    "crew_connections": "they lead to other crews",
    "feature_flag_overrides": "settings of the workspace",
    "hooks": "an owner allows commands, in a workspace",
    "inbox_items": "of people of the workspace",
    "invitations": "they lead into the workspace",
    "journal_entries": "the journal is of the workspace",
    "mcp_tool_calls": "costs are accounts of the workspace",
    "memberships": "of the workspace",
    "memory_configs": "settings of the workspace",
    "memory_proposals": "people of the workspace decide about them",
    "memory_texts": "made of the files",
    "memory_versions": "of files of the workspace's memory",
    "model_calls": "costs are accounts of the workspace",
    "model_prices": "settings of the workspace",
    "notification_channel_agents": "of channels of the workspace",
    "notification_channels": "of people of the workspace",
    "notification_preferences": "of people of the workspace",
    "notification_provider_switches": "settings of the workspace",
    "notification_schedules": "of people of the workspace",
    "notification_templates": "settings of the workspace",
    "notifications": "a person was notified once",
    "peer_card_audit": "a log of the workspace",
    "peer_consents": "consent is given to a workspace",
    "retention_rules": "settings of the workspace",
    "routine_schedules": "of routines of the workspace",
    "routine_state": "of routines of the workspace",
    "routine_step_overrides": "of routines of the workspace",
    "routine_trust_grants": "of routines of the workspace",
    "routine_versions": "of routines of the workspace",
    "routine_webhooks": "of routines of the workspace",
    "routines": "their slugs are of the workspace; each has a bundle of its own",
    "saved_views": "of people of the workspace",
    "user_models": "of people of the workspace",
    "webhook_endpoints": "of the workspace",
    "workflow_templates": "of the workspace",
    "workspace_mcp_servers": "servers of the workspace, with their secrets",
}
"""Tables that no bundle of a crew has, and why."""


@cache
def of_crews() -> tuple[type[SQLModel], ...]:
    """The tables of a bundle of a crew, in the order in which they are restored."""
    return tuple(model for model in carried() if table_of(model).name not in OF_THE_WORKSPACE)


def order_of_crew() -> tuple[type[SQLModel], ...]:
    """The tables of a bundle of a crew, also of no workspace."""
    return (Workspace, User, Skill, *of_crews())


def rows_of_crew(model: type[SQLModel], workspace_id: str, crew_id: str) -> Any:
    """The statement that selects the columns of a bundle."""
    table, selection = table_of(model), _Selection(workspace_id, crew_id)
    columns: list[Any] = [selection.column(model, name) for name in columns_of(model)]
    return select(*columns).where(selection.condition(str(table.name)))


def people_of_crew(workspace_id: str, crew_id: str) -> Any:
    """The ids of everybody whom a row of the bundle names."""
    selection = _Selection(workspace_id, crew_id)
    return union(
        *(
            select(column).where(selection.condition(str(table_of(model).name)))
            for model in of_crews()
            for column in table_of(model).c
            if names_person(column) or of_column(column) in (WHOSE, BY, AUTHOR)
        )
    )


class _Selection:
    def __init__(self, workspace_id: str, crew_id: str) -> None:
        self._workspace_id, self._crew_id = workspace_id, crew_id
        self._models = {str(table_of(model).name): model for model in of_crews()}

    def condition(self, name: str) -> Any:
        if name == "skills":
            taught, skill = table_of(AgentSkill).c, table_of(Skill).c
            return skill.id.in_(select(taught.skill_id).where(self.condition("agent_skills")))
        table = table_of(Workspace if name == "workspaces" else self._models[name])
        if name == "workspaces":
            return table.c.id == self._workspace_id
        here = table.c.workspace_id == self._workspace_id
        if name == "crews":
            return and_(here, table.c.id == self._crew_id)
        if (referring := REFERRED.get(name)) is not None:
            return and_(here, or_(*(self._referred(table, each, column) for each, column in referring.items())))
        named = [self._within(table.c[column], parent) for column, parent in NAMED.get(name, {}).items()]
        required = [self._within(table.c[column], parent) for column, parent in _required(name)]
        return and_(here, *required, *([or_(*named)] if named else []))

    def _referred(self, table: Any, name: str, column: str) -> Any:
        of = table_of(self._models[name])
        return table.c.id.in_(select(of.c[column]).where(self.condition(name)))

    def _within(self, column: Any, parent: str) -> Any:
        """The parent is taken under another name: a table may refer to itself."""
        of = table_of(self._models[parent])
        return column.in_(select(of.c.id).where(self.condition(parent)))

    def column(self, model: type[SQLModel], name: str) -> Any:
        """An optional reference that leads outside is empty."""
        table = table_of(model)
        column = table.c[name]
        for key in table.foreign_key_constraints:
            parent = str(key.referred_table.name)
            if name not in [each.name for each in key.columns] or name == "workspace_id" or not column.nullable:
                continue
            if parent in OF_THE_WORKSPACE:
                return null().label(name)
            if parent in self._models and parent != table.name and parent not in REFERRED:
                return case((self._within(column, parent), column), else_=null()).label(name)
        return column


def _required(name: str) -> list[tuple[str, str]]:
    """The columns that lead to rows of other tables of the workspace, and the tables."""
    table = next(table_of(model) for model in of_crews() if table_of(model).name == name)
    return [
        (str(column.name), str(key.referred_table.name))
        for key in sorted(table.foreign_key_constraints, key=lambda key: str(key.name))
        for column in key.columns
        if column.name != "workspace_id" and not column.nullable and key.referred_table is not table
        if key.referred_table.name not in REFERRED  # they are in because rows refer to them
        if key.referred_table.name in {table_of(model).name for model in of_crews()}
    ]
