"""Issues and what hangs on them, for one workspace: half of them in one crew, and one that nearly everything hangs on.

Identifiers are the same in every workspace. Beside the issues there are missions that are none, with numbers, parents
and labels all the same.
"""

from collections.abc import Iterator
from datetime import timedelta
from itertools import permutations
from typing import TYPE_CHECKING

from sqlmodel import SQLModel

from models.actors import ActorType
from models.base import new_id
from models.staff.agents import Agent
from models.staff.chats import Chat
from models.staff.crews import Crew
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
from models.work.labels import Label
from models.work.missions import (
    Assignment,
    AssignmentStatus,
    AuthoredVia,
    Mission,
    MissionStatus,
    MissionTask,
    MissionType,
    TaskStatus,
)
from models.work.projects import Milestone, MilestoneStatus, Project, ProjectHealth, ProjectPriority, ProjectStatus
from models.work.work_pauses import WorkPause
from tests.reader.mission_rows import board

if TYPE_CHECKING:
    from tests.reader.rows import Sower

ISSUES = 54  # more than a page, and less than the largest
ACTIVITY = 55  # more than are shown of one issue
PRIORITIES = ["none", "low", "high", "urgent", "", 'it\'s "so"', "Höchste ☃"]
PLACES = [0.0, 0.0, 1.5, 2.0, -3.0, 0.1, 1e300, -0.0]
STORED = [kind for kind in RelationType if kind is not RelationType.blocked_by]
DATES = ["2026-04-01", "soon", ""]


class IssueSower:
    def __init__(
        self, sower: "Sower", crews: list[Crew], agents: list[Agent], chats: list[Chat], labels: list[Label]
    ) -> None:
        self.sower, self.crews, self.agents, self.chats, self.labels = sower, crews, agents, chats, labels
        self.pick, self.maybe, self.text = sower.random.choice, sower.maybe, sower.text

    def rows(self) -> Iterator[SQLModel]:
        """In an order that satisfies the foreign keys."""
        projects = [self.project(number) for number in range(7)]
        yield from projects
        milestones = [self.milestone(projects[0] if number % 2 else self.pick(projects[:-1])) for number in range(12)]
        yield from milestones
        missions: list[Mission] = []
        for number in range(ISSUES + 6):
            missions.append(self.mission(number, projects[:-1], milestones, missions))
            yield missions[-1]
        issues, others = missions[:ISSUES], missions[ISSUES:]
        for mission in missions[:-3]:
            for label in self.sower.random.sample(self.labels[:-1], self.pick([0, 1, 2, 4])):
                yield IssueLabel(mission_id=mission.id, label_id=label.id, **self.sower.here)
        yield from self.talk(issues)
        ends = list(permutations([*issues[:6], others[0]], 2))
        for source, target in self.sower.random.sample(ends, 24):
            for kind in self.sower.random.sample(STORED, self.pick([1, 1, 2])):
                yield IssueRelation(
                    source_id=source.id,
                    target_id=target.id,
                    relation_type=kind,
                    created_at=self.sower.time(),
                    **self.sower.here,
                )
        yield from self.work(issues)
        yield from self.pauses(missions)
        yield from board(self.sower, missions, self.agents)

    def actor(self) -> tuple[ActorType, str]:
        """Somebody; now and then one that there is not."""
        kind = self.pick(list(ActorType))
        known = {
            ActorType.user: self.pick(self.sower.people).user_id,
            ActorType.agent: self.pick(self.agents).id,
            ActorType.system: "cron",
        }
        return kind, self.pick([known[kind]] * 3 + [self.pick(self.agents).id, "nobody"])

    def assignee(self) -> tuple[str | None, str | None]:
        kind, id = self.actor()
        return self.pick([kind.value, kind.value, kind.value, None, "", "team"]), self.maybe(id, 0.8)

    def project(self, number: int) -> Project:
        """The last one is empty."""
        pick, (lead_type, lead_id) = self.pick, self.assignee()
        return Project(
            name=self.text(), slug=f"project-{number}", description=self.maybe(self.text()),
            icon=self.maybe(self.text()), color=self.text(),
            status=pick(list(ProjectStatus)), priority=pick(list(ProjectPriority)), health=pick(list(ProjectHealth)),
            lead_type=lead_type, lead_id=lead_id,
            start_date=self.maybe(pick(DATES)), target_date=self.maybe(pick(DATES)), **self.sower.here,
            **self.sower.stamps(),
        )  # fmt: skip

    def milestone(self, project: Project) -> Milestone:
        return Milestone(
            project_id=project.id, name=self.text(), description=self.maybe(self.text()),
            target_date=self.maybe(self.pick(DATES)),
            status=self.pick(list(MilestoneStatus)), position=self.pick([0, 1, 1, 2, -1, 2**31 - 1]), **self.sower.here,
            **self.sower.stamps(),
        )  # fmt: skip

    def mission(
        self, number: int, projects: list[Project], milestones: list[Milestone], others: list[Mission]
    ) -> Mission:
        pick, sower, is_issue = self.pick, self.sower, number < ISSUES
        crew = self.crews[0] if number % 2 == 0 else pick(self.crews)
        milestone = milestones[0] if number % 5 == 0 else pick(milestones)
        project_id = pick([milestone.project_id, projects[0].id, None, pick(projects).id])
        above = others[0] if others and number % 4 == 1 else pick(others) if others else None
        (assignee_type, assignee_id), (creator_type, creator_id) = self.assignee(), self.actor()
        tail = sower.text()[:20] if is_issue and number % 3 == 2 else ""
        return Mission(
            crew_id=crew.id, lead_agent_id=pick(self.agents).id, number=number + 1 if is_issue or number % 2 else None,
            identifier=f"ENG-{number + 1}{tail}" if is_issue or number % 2 else None, project_id=project_id,
            milestone_id=self.maybe(milestone.id), parent_issue_id=self.maybe(above and above.id, 0.6),
            priority=pick(PRIORITIES),
            assignee_type=assignee_type, assignee_id=assignee_id, due_date=self.maybe(pick(DATES)),
            estimate=self.maybe(pick([0, 3, -1, 2**31 - 1])),
            sort_order=pick(PLACES), created_by_type=self.maybe(creator_type, 0.8),
            created_by_id=self.maybe(creator_id, 0.8),
            authored_via=self.maybe(pick(list(AuthoredVia))),
            mission_type=MissionType.issue if is_issue else MissionType.orchestration, trace_id=new_id(),
            title=pick([str, str.upper])(sower.text()), description=self.maybe(sower.text()),
            status=pick(list(MissionStatus)),
            completed_at=self.maybe(sower.time()), **sower.here, **sower.stamps(),
        )  # fmt: skip

    def talk(self, issues: list[Mission]) -> Iterator[SQLModel]:
        for number in range(40):
            kind, id = self.actor()
            issue = issues[0] if number % 4 == 0 else self.pick(issues)
            yield IssueComment(
                mission_id=issue.id,
                author_type=kind,
                author_id=id,
                body=self.text(),
                **self.sower.here,
                **self.sower.stamps(),
            )
        for number in range(30):
            by_agent = number % 3 == 0
            yield IssueAttachment(
                mission_id=issues[0].id if number % 4 == 0 else self.pick(issues).id,
                filename=f"{self.text()}{number}.txt",
                content_type="text/plain",
                size_bytes=number,
                sha256=f"{number % 5:064}",
                uploaded_by_user_id=None if by_agent else self.maybe(self.pick(self.sower.people).user_id),
                uploaded_by_agent_id=self.pick(self.agents).id if by_agent else None,
                created_at=self.sower.time(),
                **self.sower.here,
            )
        for number in range(30):
            yield IssueCodeLink(
                mission_id=issues[0].id if number % 4 == 0 else self.pick(issues).id,
                provider=self.pick(list(GitProvider)),
                host="git.example",
                owner="ships",
                repo="hull",
                number=number + 1,
                url=f"https://git.example/ships/hull/pull/{number + 1}",
                title=self.maybe(self.text()),
                state=self.maybe(self.pick(list(PullState))),
                last_synced_at=self.maybe(self.sower.time()),
                last_sync_error=self.maybe(self.text()),
                **self.sower.here,
                **self.sower.stamps(),
            )
        for number in range(ACTIVITY + 30):
            kind, id = self.actor()
            issue, action = issues[0] if number < ACTIVITY else self.pick(issues), self.pick(list(ActivityAction))
            yield IssueActivity(
                mission_id=issue.id, actor_type=kind, actor_id=id, action=action, details=self.maybe(self.text()),
                created_at=self.sower.time(),
                **self.sower.here,
            )  # fmt: skip

    def work(self, issues: list[Mission]) -> Iterator[SQLModel]:
        """Assignments; some tasks of issues name one."""
        assignments = [self.assignment() for _ in range(24)]
        yield from assignments
        for number in range(40):
            issue, agent, assignment = (
                issues[0] if number % 3 == 0 else self.pick(issues),
                self.pick(self.agents),
                assignments[number] if number < len(assignments) else None,
            )
            yield MissionTask(
                mission_id=issue.id, assigned_agent_id=agent.id,
                assignment_id=assignment and self.maybe(assignment.id, 0.8),
                title=self.text(),
                status=self.pick([TaskStatus.PENDING, TaskStatus.FAILED, TaskStatus.IN_PROGRESS]), **self.sower.here,
            )  # fmt: skip

    def pauses(self, missions: list[Mission]) -> Iterator[SQLModel]:
        for mission in missions[:9]:
            for agent in self.sower.random.sample(self.agents, 5):
                yield WorkPause(
                    agent_id=agent.id, mission_id=mission.id, runs=self.pick([5, 9]),
                    last_error=self.maybe(self.text()),
                    resumed_at=self.maybe(self.sower.time()), created_at=self.sower.time(), **self.sower.here,
                )  # fmt: skip

    def assignment(self) -> Assignment:
        """Some end before they begin."""
        started, lasts = (
            self.sower.time(),
            timedelta(
                milliseconds=self.pick([0, 1, 1500, 86_400_000, -7]), microseconds=self.pick([0, 499, 500, 1_500])
            ),
        )
        return Assignment(
            chat_id=self.maybe(self.pick(self.chats).id), assigned_by_id=self.pick(self.agents).id,
            assigned_to_id=self.pick(self.agents).id,
            task=self.text(), status=self.pick(list(AssignmentStatus)),
            result_summary=self.maybe(self.pick([self.text(), "y" * 201 + "\nz"])),
            error_message=self.maybe(self.text()), started_at=self.maybe(started, 0.7),
            finished_at=self.maybe(started + lasts, 0.7),
            **self.sower.here, **self.sower.stamps(),
        )  # fmt: skip
