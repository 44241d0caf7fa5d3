"""GraphQL: the first run of a user."""

import strawberry

from resolvers.staff import onboarding as onboarding_ops
from schema.bridge.fields import mutation, output


@output(onboarding_ops.OnboardingStatus)
class OnboardingStatusType:
    """Whether the onboarding of the caller is completed."""

    completed: bool


@output(onboarding_ops.OnboardingCompleted)
class OnboardingCompletedType:
    """The onboarding is completed."""

    status: str


@output(onboarding_ops.SetUp, name="OnboardingSetUp")
class OnboardingSetUpType:
    """The result of the setup. `credentialId` is empty if no credential was sent, and null with a template; `agentIds`
    and `agentCount` are null without one.
    """

    workspace_id: strawberry.ID
    crew_id: strawberry.ID
    agent_id: strawberry.ID
    credential_id: str | None
    agent_ids: list[strawberry.ID] | None
    agent_count: int | None


@strawberry.type
class OnboardingMutation:
    refresh_onboarding_status = mutation(onboarding_ops.refresh_status, OnboardingStatusType)
    complete_onboarding = mutation(onboarding_ops.complete, OnboardingCompletedType)
    set_up_onboarding = mutation(onboarding_ops.set_up, OnboardingSetUpType)
