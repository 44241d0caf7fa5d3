"""Agents ask for access to a credential. The answer says yes or no, and never what the credential is."""

from models.oversight.keeper import KeeperDecision, KeeperRequestType
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.kernel import Action, Auth, Code, Context, Output, command
from resolvers.oversight.keeper.deciding import decide
from resolvers.oversight.keeper.events import KeeperAccessDecided
from resolvers.oversight.keeper.gatekeeper import judge
from resolvers.oversight.keeper.opening import AskKeeper, asking_of, opened


class KeeperVerdict(Output):
    """The decision. It is final; the agent has to ask again."""

    request_id: str
    decision: KeeperDecision
    reason: str
    risk_score: int


@command(
    "internal.keeper.request",
    Action.NONE,
    auth=Auth.INTERNAL,
    emits=(KeeperAccessDecided, InboxItemUpdated),
    errors=(Code.UNAUTHENTICATED, Code.FORBIDDEN, Code.NOT_FOUND),
    late=True,
)
async def request_access(ctx: Context, data: AskKeeper) -> KeeperVerdict:
    """Request access to a credential (for agents).

    Returns a verdict, never the value. Managers decide escalated requests.
    """
    request = await opened(ctx, data, KeeperRequestType.access)
    verdict = await judge(ctx, request, KeeperRequestType.access, asking_of(request, data.intent))
    await ctx.begin()
    decided = await decide(ctx, request, verdict)
    return KeeperVerdict(
        request_id=decided.id,
        decision=decided.decision,
        reason=decided.reason or "",
        risk_score=decided.risk_score or 0,
    )
