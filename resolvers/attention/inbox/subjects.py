"""The rows that entries of what needs attention lead to, and those that inbox items are about."""

from models.attention.approvals import Approval
from models.attention.inbox import InboxItem, InboxSubject
from models.resources.budgets import Budget
from models.resources.credentials import Credential
from models.staff.agents import Agent
from models.staff.assignments import Escalation
from models.staff.chats import Chat
from models.staff.crews import Crew
from models.staff.runs import Run
from models.work.missions import Mission, MissionTask
from models.work.work_pauses import WorkPause
from resolvers.attention.inbox.kinds import AttentionSubject as _S
from resolvers.kernel import one
from resolvers.kernel.reader import Edge

SUBJECTS: dict[str, Edge] = {
    _S.approval: one(Approval, "subject_id"),
    _S.escalation: one(Escalation, "subject_id"),
    _S.mission_task: one(MissionTask, "subject_id"),
    _S.run: one(Run, "subject_id"),
    _S.budget: one(Budget, "subject_id"),
    _S.work_pause: one(WorkPause, "subject_id"),
    _S.mission: one(Mission, "subject_id"),
    _S.credential: one(Credential, "subject_id"),
    _S.inbox_item: one(InboxItem, "subject_id"),
}
"""The rows that entries lead to. The domain of issues adds its own, and the edge."""
ABOUT: dict[str, Edge] = {
    InboxSubject.approval: one(Approval, "subject_id"),
    InboxSubject.escalation: one(Escalation, "subject_id"),
    InboxSubject.mission_task: one(MissionTask, "subject_id"),
    InboxSubject.run: one(Run, "subject_id"),
    InboxSubject.budget: one(Budget, "subject_id"),
    InboxSubject.work_pause: one(WorkPause, "subject_id"),
    InboxSubject.mission: one(Mission, "subject_id"),
    InboxSubject.agent: one(Agent, "subject_id"),
    InboxSubject.crew: one(Crew, "subject_id"),
    InboxSubject.chat: one(Chat, "subject_id"),
}
"""The rows that inbox items are about; likewise."""
