"""The permission of a credential to leave the server for a runner."""

from models.resources.credentials import Credential
from resolvers.kernel import Action, Bool, ById, Context, command
from resolvers.resources.credentials.credentials import CREDENTIAL


class AllowOnRunners(ById):
    """A credential, and whether runners of its agents receive the value."""

    on_runners: Bool


@command(
    "credentials.allow_on_runners",
    Action.MANAGE,
    audit="credential.updated",
    subject=CREDENTIAL,
    locked=True,
    versioned=Credential,
)
async def allow_on_runners(ctx: Context, credential: Credential, data: AllowOnRunners) -> Credential:
    """Set whether runners receive a credential.

    While allowed, commands on the runner of an agent that has the credential receive its value. The owner of that
    machine can read it. Forbidding affects later commands.
    """
    return await ctx.edit(credential, on_runners=data.on_runners)
