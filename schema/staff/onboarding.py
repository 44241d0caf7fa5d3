"""GraphQL: the first run of a user."""

import strawberry

from resolvers.staff import onboarding as onboarding_ops
from schema.bridge.fields import mutation, output

output(onboarding_ops.SetUp, name="OnboardingSetUp", fields={"credential_id": str | None})


@strawberry.type
class OnboardingMutation:
    refresh_onboarding_status = mutation(onboarding_ops.refresh_status)
    complete_onboarding = mutation(onboarding_ops.complete)
    set_up_onboarding = mutation(onboarding_ops.set_up)
