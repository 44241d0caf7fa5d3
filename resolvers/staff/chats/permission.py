"""Who may change and share a chat."""

from models.staff.agents import Agent
from models.staff.chats import Chat
from resolvers.kernel import Action, Subject
from resolvers.kernel.admission.row_rules import Allowed, ByRole, ByUser, OfParent
from resolvers.kernel.ground.policy import ADMINS, GATES
from resolvers.staff.agents.permission import ITS_OWN

CHANGED = Subject(Chat, "chat_id", also=("agent_id",))
"""The chat of an agent, whether that is live or not."""

CREATED = ByUser(Chat.created_by)
EDITS_AGENT = ByRole(ADMINS) | (ByRole(GATES[Action.UPDATE]) & OfParent(Agent, Chat.agent_id, ITS_OWN))

may_change = Allowed(CREATED | EDITS_AGENT, "Not allowed to change this chat")
"""Its creator, and users who may edit its agent."""
may_share = Allowed(ByRole(ADMINS) | CREATED, "Only the creator of a chat and administrators can share it")
