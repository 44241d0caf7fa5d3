"""Relations between issues."""

import re

from pydantic import PrivateAttr
from sqlalchemy import func, or_, select
from sqlmodel import col

from models.work.issues import IssueRelation, RelationType
from models.work.missions import Mission
from resolvers.kernel import (
    Action,
    ById,
    Code,
    Context,
    Output,
    QueryScope,
    Refusal,
    Row,
    Rows,
    Subject,
    Text,
    command,
    extend,
    query,
    written,
)
from resolvers.kernel.store.changes import Clash
from resolvers.work.issues.events import IssueRelationDeletedEvent, IssueUpdated
from resolvers.work.issues.graph import IS_ISSUE, ISSUE_ROWS, SOURCE_END, TARGET_END, IssueRelationView, relations_of
from resolvers.work.issues.naming import ISSUE_OF_CREW, OfCrew

EXISTS = "Relation already exists"
END = re.compile(rf"({SOURCE_END}|{TARGET_END})\Z")
RELATION = Subject(IssueRelation, "id", called="Relation", spelled=lambda id: END.sub("", id))
MOST_RELATIONS = 1000  # of one issue; as many as an edge shows


class CreateRelation(OfCrew):
    """`target_identifier` is an issue of any crew. `blocked_by` is stored as `blocks` from the target to this issue."""

    target_identifier: Text = ""
    relation_type: RelationType


class RelationCreated(Output):
    """The id of the new relation."""

    id: str
    status: str = "ok"


extend(RelationCreated, issue=written(ISSUE_ROWS))


class RelationDeleted(Output):
    """The relation was deleted."""

    status: str = "ok"
    _id: str = PrivateAttr("")

    @property
    def relation_id(self) -> str:
        return self._id


@query("issues.relations_list", Action.READ, subject=ISSUE_OF_CREW)
def list_relations(scope: QueryScope, issue: Row[Mission], data: OfCrew) -> Rows[IssueRelationView]:
    """List relations of an issue.

    Lists relations in both directions, as seen from this issue; oldest first.
    """
    return scope.view(IssueRelationView, relations_of(scope.id_of(issue), scope, scope)).order_by(
        "created_at", "relation_id"
    )


@command(
    "issues.relations_create",
    Action.CREATE,
    audit="issue_relation.created",
    emits=IssueUpdated,
    errors=(Code.NOT_FOUND, Code.CONFLICT),
)
async def create_relation(ctx: Context, data: CreateRelation) -> RelationCreated:
    """Create a relation between issues.

    The status of both issues stays unchanged. An issue has at most 1,000 relations, in both directions.
    """
    issue: Mission = await ctx.find(ISSUE_OF_CREW)
    ctx.shows(Mission, issue.id)
    target = await ctx.select(Mission, col(Mission.identifier) == data.target_identifier, *IS_ISSUE).one(
        "Target issue not found"
    )
    if target.id == issue.id:
        raise Refusal(Code.BAD_REQUEST, "An issue cannot be related to itself")
    await room_for_one_more(ctx, issue.id, target.id)
    kind, ends = data.relation_type, (issue.id, target.id)
    if kind is RelationType.blocked_by:
        kind, ends = RelationType.blocks, (target.id, issue.id)
    relation = await ctx.insert(
        IssueRelation(source_id=ends[0], target_id=ends[1], relation_type=kind),
        conflict=Clash(EXISTS, "target_identifier"),
    )
    ctx.emit(IssueUpdated(id=issue.id))
    return RelationCreated(id=relation.id)


async def room_for_one_more(ctx: Context, *issue_ids: str) -> None:
    """Refuses a relation of an issue that has the most."""
    await ctx.lock(f"relations of {ctx.workspace_id}")  # two callers may not both take the last place
    relations = ctx.table(IssueRelation)
    of_each = [or_(relations.c.source_id == id, relations.c.target_id == id) for id in issue_ids]
    counted = select(*[func.count().filter(of_one) for of_one in of_each]).where(or_(*of_each))
    if max((await ctx.report(counted))[0]) >= MOST_RELATIONS:
        raise Refusal(Code.BAD_REQUEST, f"An issue can have at most {MOST_RELATIONS} relations")


@command(
    "issues.relations_delete",
    Action.CREATE,
    audit="issue_relation.deleted",
    emits=IssueRelationDeletedEvent,
    subject=RELATION,
)
async def delete_relation(ctx: Context, relation: IssueRelation, data: ById) -> RelationDeleted:
    """Delete a relation between issues."""
    await ctx.delete(IssueRelation, relation.id)
    ctx.emit(IssueRelationDeletedEvent(id=relation.id, source_id=relation.source_id, target_id=relation.target_id))
    deleted = RelationDeleted()
    deleted._id = relation.id
    return deleted
