"""The sensitivity of a credential: a SEALED one is never revealed."""

from typing import Final

from models.oversight.journal import JournalActor, JournalEntry, Severity
from models.resources.credentials import Credential, Sensitivity
from resolvers.kernel import Action, ById, Code, Context, Output, command, forbidden
from resolvers.kernel.ground.policy import ADMINS, lowest
from resolvers.resources.credentials.credentials import CREDENTIAL

RANKS: Final = tuple(Sensitivity)
LOWERED: Final = "Only an administrator can lower the sensitivity of a credential"


class SetSensitivity(ById):
    """STANDARD, RESTRICTED or SEALED."""

    sensitivity: Sensitivity


class SensitivityResult(Output):
    """The sensitivity of a credential, and the one before."""

    credential_id: str
    sensitivity: Sensitivity
    previous: Sensitivity


@command(
    "credentials.set_sensitivity",
    Action.UPDATE,
    audit="credential.sensitivity_set",
    subject=CREDENTIAL,
    locked=True,
    errors=(Code.FORBIDDEN,),
)
async def set_sensitivity(ctx: Context, credential: Credential, data: SetSensitivity) -> SensitivityResult:
    """Set the sensitivity of a credential.

    Managers raise it; only administrators lower it, which is an entry of the journal. RESTRICTED is a label so far.
    """
    previous = credential.sensitivity
    result = SensitivityResult(credential_id=credential.id, sensitivity=data.sensitivity, previous=previous)
    if data.sensitivity is previous:
        return result
    if RANKS.index(data.sensitivity) < RANKS.index(previous):
        if not ctx.may(Action.MANAGE):
            raise forbidden(LOWERED, role=lowest(ADMINS))
        _record_lowered(ctx, credential, data.sensitivity)
    await ctx.edit(credential, sensitivity=data.sensitivity)
    return result


def _record_lowered(ctx: Context, credential: Credential, to: Sensitivity) -> None:
    ctx.record(
        JournalEntry(
            entry_type="credential.sensitivity_lowered",
            severity=Severity.warn,
            actor_type=JournalActor.user,
            actor_id=ctx.user_id,
            summary=f"sensitivity of {credential.name} lowered from {credential.sensitivity} to {to}",
            payload={
                "credential_id": credential.id, "from": credential.sensitivity.value, "to": to.value,
                "actor_role": ctx.role and ctx.role.value, "ip": ctx.caller.client,
            },
            refs={"credential_id": credential.id},
        )
    )  # fmt: skip
