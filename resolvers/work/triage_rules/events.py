"""Events about triage rules."""

from resolvers.kernel import Event


class TriageRuleCreated(Event, type="triage_rule.created", channel="workspace:{workspace_id}"):
    """A triage rule was created."""

    id: str


class TriageRuleUpdated(Event, type="triage_rule.updated", channel="workspace:{workspace_id}"):
    """A triage rule was updated."""

    id: str


class TriageRuleDeleted(Event, type="triage_rule.deleted", channel="workspace:{workspace_id}"):
    """A triage rule was deleted."""

    id: str


class TriageProcessed(Event, type="triage.processed", channel="workspace:{workspace_id}"):
    """The triage rules were run and matched at least one issue; both fields are numbers of issues, as text."""

    processed: str
    matched: str
