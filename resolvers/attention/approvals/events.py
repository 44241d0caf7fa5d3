"""Events of approvals: a request was made, and what became of it."""

from resolvers.kernel import Event


class ApprovalCreatedEvent(Event, type="approval.created", channel="workspace:{workspace_id}"):
    """A tool call waits for consent."""

    id: str


class ApprovalDecidedEvent(Event, type="approval.decided", channel="workspace:{workspace_id}"):
    """An approval was granted or denied."""

    id: str


class ApprovalCancelledEvent(Event, type="approval.cancelled", channel="workspace:{workspace_id}"):
    """A pending approval was cancelled, by a user or because its run has ended."""

    id: str


class ApprovalTimedOutEvent(Event, type="approval.timed_out", channel="workspace:{workspace_id}"):
    """An approval has expired without a decision."""

    id: str
