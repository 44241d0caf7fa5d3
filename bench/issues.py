"""Case C on the service: "create an issue" as a small domain of the bench's own, on the product's kernel.

The product's issues have more to them. This one has what the floors do: the crew's counter, a row, an audit row and an
event in one transaction, under the same gate, row-level security, constraints and outbox as every operation.
`bench.issues.main` is `crewship serve` with one more route.
"""

from typing import Any

from pydantic import Field
from sqlalchemy import Connection, Index, UniqueConstraint
from sqlmodel import Field as SQLField
from sqlmodel import col

from crewship.process.app import create_app
from crewship.process.serve import serve
from models.base import TenantTable, Timestamps, belongs_to, table_of, text_field
from models.bounds import DESCRIPTION, LINE, NAME
from models.personal_data import NOTHING
from models.staff.crews import Crew
from resolvers.instance.settings import load_settings
from resolvers.kernel import (
    EVERYONE,
    Action,
    Change,
    Code,
    Context,
    Description,
    Event,
    Id,
    Input,
    Text,
    command,
    graph,
    plus,
)
from resolvers.kernel.ground.scopes import EVERYTHING
from resolvers.kernel.store.changes import Drawn
from rest_compat.http.table import POST, Wire


class BenchIssue(TenantTable, Timestamps, table=True):
    __tablename__ = "bench_issues"
    __table_args__ = (
        UniqueConstraint("crew_id", "number"),
        belongs_to("crew_id", "crews"),
        Index("bench_issues_workspace_id_created_at_idx", "workspace_id", "created_at"),
    )
    crew_id: str
    number: int
    identifier: str = text_field(NAME, holds=NOTHING)
    title: str = text_field(LINE, holds=NOTHING)
    description: str | None = text_field(DESCRIPTION, default=None, holds=NOTHING)
    status: str = text_field(LINE, default="BACKLOG", holds=NOTHING)
    priority: str = text_field(LINE, default="none", holds=NOTHING)
    created_by: str | None = SQLField(default=None, foreign_key="users.id")


graph(BenchIssue, gate=Action.READ, scope=EVERYTHING, visible=EVERYONE)


class CreateIssue(Input):
    crew_id: Id
    title: Text = Field(min_length=1)
    description: Description | None = None
    priority: Text = "none"


class IssueCreated(Event, type="issue.created", channel="workspace:{workspace_id}"):
    id: str
    crew_id: str
    identifier: Drawn[str]


IDENTIFIER: Any = col(Crew.issue_prefix).concat("-").concat(col(Crew.issue_counter))


@command("bench.create_issue", Action.CREATE, audit="issue.created", emits=IssueCreated, errors=(Code.NOT_FOUND,))
async def create_issue(ctx: Context, data: CreateIssue) -> BenchIssue:
    """Create an issue in a crew; it takes the crew's next number."""
    made = BenchIssue(**data.model_dump(), number=Crew.issue_counter, identifier=IDENTIFIER, created_by=ctx.user_id)
    issue = await ctx.insert(made, change=Change(Crew, data.crew_id, issue_counter=plus(1)))
    ctx.audit("ISSUE", issue.id, identifier=issue.identifier)
    ctx.emit(IssueCreated(id=issue.id, crew_id=issue.crew_id, identifier=issue.identifier))
    return issue


class IssueJSON(Wire, of=BenchIssue):
    id: str
    workspace_id: str
    crew_id: str
    number: int
    identifier: str
    title: str
    description: str | None
    status: str
    priority: str
    created_by: str | None
    created_at: str
    updated_at: str


ROUTES = (POST("/api/v1/issues", create_issue, IssueJSON, status=201),)


def create_table(connection: Connection) -> None:
    table_of(BenchIssue).create(connection)


def main() -> None:
    serve(load_settings(), lambda settings: create_app(settings, routes=ROUTES))
