"""Cases of issues, for the tests that are made for every operation."""

from typing import Any

from models.actors import ActorType
from models.base import new_id
from models.work.issues import (
    ActivityAction,
    GitProvider,
    IssueActivity,
    IssueAttachment,
    IssueCodeLink,
    IssueComment,
    IssueLabel,
    IssueRelation,
    PullState,
    RelationType,
)
from models.work.missions import AuthoredVia, Mission, MissionStatus, MissionType
from resolvers.errors import Code
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.world import now


def _issue(plot: Plot, number: int, **changes: Any) -> Mission:
    given: dict[str, Any] = {
        "crew_id": plot["crew"].id,
        "lead_agent_id": plot["lead"].id,
        "mission_type": MissionType.issue,
        "trace_id": f"issue-{new_id()}",
        "number": number,
        "identifier": f"{plot.workspace.id[-4:].upper()}-{number}",  # another one in every workspace
        "title": "Leak",
        "description": "Below the waterline",
        "status": MissionStatus.BACKLOG,
        "project_id": plot["project"].id,
        "milestone_id": plot["milestone"].id,
        "priority": "high",
        "assignee_type": ActorType.agent,
        "assignee_id": plot["agent"].id,
        "due_date": "2030-02-01",
        "estimate": 3,
        "sort_order": 1.5,
        "rank": f"{number:04}5",
        "routine_inputs": {},
        "created_by_type": ActorType.user,
        "created_by_id": plot.owner.user_id,
        "authored_via": AuthoredVia.user_api,
        "plan": "Find it",
        "workflow_template": "sequential",
        "total_token_count": 1,
        "total_estimated_cost": 0.5,
        "started_at": now(),
        "completed_at": now(),
    }
    return Mission(**(given | changes), **plot.here)


@entity
def issue_above(plot: Plot) -> Mission:
    by_agent = {"created_by_type": ActorType.agent, "created_by_id": plot["agent"].id}
    return _issue(plot, 1, title="Hull", assignee_type=ActorType.user, assignee_id=plot.owner.user_id, **by_agent)


@entity
def issue(plot: Plot) -> Mission:
    return _issue(plot, 2, parent_issue_id=plot["issue_above"].id)


@entity
def issue_under_way(plot: Plot) -> Mission:
    return _issue(plot, 3, status=MissionStatus.IN_PROGRESS)


@entity
def issue_below(plot: Plot) -> Mission:
    return _issue(plot, 4, parent_issue_id=plot["issue"].id)


@entity
def issue_to_review(plot: Plot) -> Mission:
    return _issue(plot, 5, status=MissionStatus.REVIEW)


@entity
def issue_label(plot: Plot) -> IssueLabel:
    return IssueLabel(mission_id=plot["issue"].id, label_id=plot["label"].id, **plot.here)


@entity
def issue_comment(plot: Plot) -> IssueComment:
    return IssueComment(
        mission_id=plot["issue"].id,
        author_type=ActorType.user,
        author_id=plot.owner.user_id,
        body="It is getting worse",
        **plot.here,
    )


@entity
def issue_comment_of_agent(plot: Plot) -> IssueComment:
    said: dict[str, Any] = {"author_type": ActorType.agent, "author_id": plot["agent"].id, "body": "It is mended"}
    return IssueComment(mission_id=plot["issue"].id, **said, **plot.here)


@entity
def issue_activity_of_user(plot: Plot) -> IssueActivity:
    done: dict[str, Any] = {"action": ActivityAction.status_changed, "details": "BACKLOG \u2192 TODO"}
    return IssueActivity(
        mission_id=plot["issue"].id, actor_type=ActorType.user, actor_id=plot.owner.user_id, **done, **plot.here
    )


@entity
def issue_activity(plot: Plot) -> IssueActivity:
    done: dict[str, Any] = {"action": ActivityAction.priority_changed, "details": "high"}
    return IssueActivity(
        mission_id=plot["issue"].id, actor_type=ActorType.agent, actor_id=plot["agent"].id, **done, **plot.here
    )


@entity
def issue_relation(plot: Plot) -> IssueRelation:
    return IssueRelation(
        source_id=plot["issue"].id, target_id=plot["issue_under_way"].id, relation_type=RelationType.blocks, **plot.here
    )


@entity
def issue_attachment(plot: Plot) -> IssueAttachment:
    """Its content is on no disk."""
    return IssueAttachment(
        mission_id=plot["issue"].id,
        filename="chart.png",
        content_type="image/png",
        size_bytes=7,
        sha256="0" * 64,
        uploaded_by_user_id=plot.owner.user_id,
        uploaded_by_agent_id=plot["agent"].id,
        **plot.here,
    )


@entity
def issue_code_link(plot: Plot) -> IssueCodeLink:
    times = {f"remote_{name}_at": "2026-01-01T00:00:00Z" for name in ("created", "updated", "merged", "closed")}
    return IssueCodeLink(
        mission_id=plot["issue"].id,
        provider=GitProvider.GITHUB,
        host="github.com",
        owner="ships",
        repo="hull",
        number=7,
        url="https://github.com/ships/hull/pull/7",
        title="Mend it",
        state=PullState.OPEN,
        author="ada",
        source_branch="leak",
        target_branch="main",
        last_synced_at=now(),
        last_sync_error="The credential for this host cannot be read",
        **times,
        **plot.here,
    )


def _named(key: str, **more: Any) -> Any:
    """An issue that is named by its identifier."""
    return more | {"identifier": lambda world: world.home[key].identifier}


PROSE = {"issues.comments_update", "issues.comments_delete"}
FILE = {"filename": "tide.txt", "content_base64": "ZXhhbXBsZQ=="}
OF_FILE = {"attachment_id": "issue_attachment"}
NAMED = Recipe(values=_named("issue"))
UNDER_WAY = Recipe(values=_named("issue_under_way"))
IDS = {
    "creator_id": "agent",
    "any_label_ids": "label",
    "all_label_ids": "label",
    "assignee_id": "agent",
    "author_agent_id": "agent",
    "parent_issue_id": "issue_above",
}
RECIPES = {
    **dict.fromkeys(
        [
            "issues.get", "issues.find_one", "issues.get_in_crew", "issues.delete", "issues.start", "issues.subtasks",
            "issues.activity", "issues.runs",
            "issues.comments_list", "issues.comments_create", "issues.relations_list", "internal.issues.get",
            "internal.issues.comments_create", "issues.attachments_list", "issues.code_links_list",
            "internal.issues.attachments_list",
        ],
        NAMED,
    ),
    "issues.create": Recipe(chosen=frozenset({"routine_id"})),
    "issues.update": Recipe(values=_named("issue", title="Leaks"), chosen=frozenset({"routine_id"})),
    "issues.edit": Recipe(values=_named("issue", title="Leaks"), chosen=frozenset({"routine_id"})),
    "issues.move": Recipe(ids={"id": "issue", "after": "issue_above"}, values={"status": "TODO"}),
    "issues.comments_update": Recipe(ids={"id": "issue_comment"}),
    "issues.comments_delete": Recipe(ids={"id": "issue_comment"}),
    "issues.count": Recipe(values={"by": "assignee"}),
    "issues.find": Recipe(values={"due_before": "2031-01-01"}),
    "issues.stop": UNDER_WAY,
    "issues.review": UNDER_WAY,
    "issues.bulk": Recipe(values={"ids": lambda world: [world.home["issue"].id], "updates": {"priority": "low"}}),
    "issues.relations_create": Recipe(values=_named("issue",
        target_identifier=lambda world: world.home["issue_above"].identifier)),
    **dict.fromkeys(
        ("issues.attachments_create", "internal.issues.attachments_create"), Recipe(values=_named("issue", **FILE))
    ),
    "issues.code_links_create": Recipe(
        values=_named("issue", url="https://github.com/ships/hull/pull/8"), refused=Code.BAD_GATEWAY
    ),
    "issues.code_links_refresh": Recipe(
        ids={"link_id": "issue_code_link"}, values=_named("issue"), refused=Code.BAD_GATEWAY
    ),
    "issues.code_links_delete": Recipe(ids={"link_id": "issue_code_link"}, values=_named("issue")),
    "issues.attachments_delete": Recipe(ids=OF_FILE, values=_named("issue")),
    **dict.fromkeys(
        ("issues.attachments_get", "internal.issues.attachments_get"),
        Recipe(ids=OF_FILE, values=_named("issue"), refused=Code.NOT_FOUND),
    ),
    "internal.issues.relations_create": Recipe(values=_named("issue", relation_type="relates_to",
        target_identifier=lambda world: world.home["issue_above"].identifier)),
    "issues.relations_delete": Recipe(ids={"id": "issue_relation"}),
    "internal.issues.update": Recipe(values=_named("issue", priority="low")),
}  # fmt: skip
