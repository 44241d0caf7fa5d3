"""Showing the value of a credential to a person: who may, why, and the entry in the journal that comes first."""

from datetime import timedelta
from typing import Annotated, Any, Final

import orjson
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from sqlalchemy import func, select
from sqlmodel import col

from models import bounds
from models.oversight.journal import JournalActor, JournalEntry, Severity
from models.people.auth import Session
from models.people.workspaces import Capability, Workspace
from models.resources.credentials import (
    Credential,
    CredentialCrew,
    CredentialEventType,
    CredentialScope,
    CredentialType,
    Sensitivity,
)
from models.staff.crews import CrewMember
from resolvers.instance.vault import Unopenable
from resolvers.kernel import (
    NO_SURFACE,
    TRIMMED,
    Action,
    Bool,
    ById,
    Code,
    Context,
    CredentialKind,
    Input,
    NoInput,
    Output,
    Refusal,
    Subject,
    command,
    forbidden,
    instance,
    log,
    procedure,
)
from resolvers.kernel.admission.guards import about_caller
from resolvers.kernel.declarations.events import Time
from resolvers.kernel.ground.pace import Pace
from resolvers.kernel.ground.policy import ADMINS, effective
from resolvers.resources.credentials.references import value_of
from resolvers.resources.credentials.vault import tell
from resolvers.rules.journal_ids import line_id
from resolvers.rules.redaction import Redactor

REVEALED: Final = Subject(Credential, "id", judged_first=True)
SHORTEST: Final = 20  # characters of a reason
PLACEHOLDERS: Final = frozenset(
    {
        "test", "testing", "tests", "debug", "debugging", "reason", "because", "n/a", "na", "none", "asdf", "foo",
        "bar", "x", "-", "tmp", "temp", "check", "checking", "just", "please",
    }
)  # fmt: skip
ENDS: Final = ".,;:!?-"
FRESH: Final = timedelta(hours=1)
"""The time after a sign-in within which a session reveals values: one that was stolen later reveals none."""
REVEALS: Final = Pace(3, "Too many values were revealed; try again in a minute")
NO_SESSION: Final = "Values are revealed in a browser's session only, not to tokens"
OLD_SESSION: Final = "Sign in again to reveal a value: this session is older than an hour"
OFF: Final = "Values of this workspace are not revealed; an owner can turn this on"
NOT_GRANTED: Final = "Revealing values needs the capability credentials:reveal, which is granted to a member by name"
OTHER_CREW: Final = "Managers reveal values of credentials of the workspace and of their crews"
SEALED: Final = "The credential is SEALED: its value is never revealed"
NO_VALUE: Final = "The credential has no value yet"
UNOPENABLE: Final = "The value cannot be opened"


def _reason(text: str) -> str:
    if len(text) < SHORTEST:
        raise PydanticCustomError("reason", f"must have at least {SHORTEST} characters")
    words = [word for word in (each.lower().strip(ENDS) for each in text.split()) if word]
    if PLACEHOLDERS.issuperset(words) or (len(words) > 1 and len(set(words)) == 1):
        raise PydanticCustomError("reason", "must say what the value is needed for")
    return text


class RevealCredential(ById):
    """`reason`, of at least 20 characters, says what the value is needed for. It is recorded."""

    reason: Annotated[str, Field(strict=True, max_length=bounds.DESCRIPTION), AfterValidator(_reason), TRIMMED]


class RevealRecorded(Output):
    """The entry of the journal that precedes the value."""

    journal_entry_id: str
    revealed_at: Time


class RevealedCredential(Output):
    """The value of a credential. `journal_entry_id`: the entry of the journal that records the call."""

    credential_id: str
    name: str
    type: CredentialType
    sensitivity: Sensitivity
    value: str = Field(repr=False)
    revealed_at: Time
    journal_entry_id: str


class RevealPolicy(Output):
    """`enabled`: members with the capability may reveal values. Off until an owner turns it on."""

    workspace_id: str
    enabled: bool


class SetRevealPolicy(Input):
    """`enabled`: members with the capability may reveal values."""

    enabled: Bool


async def at_a_pace(ctx: Context, credential: Credential | None) -> None:
    if instance.limited:
        REVEALS.take(ctx.user_id)


@about_caller
async def in_session(ctx: Context, credential: Credential | None = None) -> None:
    if ctx.caller.kind is not CredentialKind.SESSION:
        raise forbidden(NO_SESSION)


async def soon_after_sign_in(ctx: Context, credential: Credential | None) -> None:
    """A session that was stolen later than this reveals nothing."""
    session = await ctx.select(Session, col(Session.id) == ctx.caller.credential).first()
    if session is None or session.created_at < await ctx.now() - FRESH:
        raise forbidden(OLD_SESSION)


async def while_enabled(ctx: Context, credential: Credential | None) -> None:
    if not (await ctx.get(Workspace, ctx.workspace_id or "")).reveals_credentials:
        raise forbidden(OFF)


@about_caller
async def if_granted(ctx: Context, credential: Credential | None = None) -> None:
    """No role implies the capability, the owner's neither."""
    if ctx.role is None or Capability.credentials_reveal not in effective(ctx.role, ctx.capabilities):
        raise forbidden(NOT_GRANTED, capability=Capability.credentials_reveal)


async def of_own_crew(ctx: Context, credential: Credential | None) -> None:
    """Administrators reach every credential; managers reach credentials of the workspace and of their crews."""
    if credential is None or ctx.role in ADMINS or credential.scope == CredentialScope.WORKSPACE:
        return
    link, member = ctx.table(CredentialCrew).c, ctx.table(CrewMember).c
    shared = (link.credential_id == credential.id, member.crew_id == link.crew_id, member.user_id == ctx.user_id)
    if not await ctx.report(select(link.id).where(*shared).limit(1)):
        raise forbidden(OTHER_CREW)


async def unless_sealed(ctx: Context, credential: Credential | None) -> None:
    if credential is not None and credential.sensitivity is Sensitivity.SEALED:
        raise forbidden(SEALED)


GATES: Final = (in_session, soon_after_sign_in, while_enabled, if_granted, of_own_crew, unless_sealed)


@command(
    "credentials.record_reveal",
    Action.UPDATE,
    audit="credential.revealed",
    subject=REVEALED,
    allow=GATES,
    errors=(Code.FORBIDDEN,),
    surfaces=NO_SURFACE,
    scopes=None,
)
async def record_reveal(ctx: Context, credential: Credential, data: RevealCredential) -> RevealRecorded:
    """Record that a value is about to be revealed.

    It commits its own transaction: without the entry, no value is opened.
    """
    ((now,),) = await ctx.report(select(func.clock_timestamp()))
    told: dict[str, Any] = {
        "actor_role": ctx.role and ctx.role.value,
        "classification": credential.sensitivity.value,
        "reason": Redactor().redact(data.reason),
    }
    entry = JournalEntry(
        entry_type="credential.revealed",
        severity=Severity.warn,
        actor_type=JournalActor.user,
        actor_id=ctx.user_id,
        summary=f"value of {credential.name} revealed",
        payload={
            "credential_id": credential.id, "credential_name": credential.name,
            "credential_type": credential.type.value, "ip": ctx.caller.client,
        } | told,
        refs={"credential_id": credential.id},
        created_at=now,
    )  # fmt: skip
    ctx.record(entry)
    line = line_id(entry)
    tell(ctx, credential.id, CredentialEventType.REVEAL, revealed_by=ctx.user_id, journal_entry_id=line, **told)
    ctx.audit("CREDENTIAL", credential.id, journal_entry_id=line, **told)
    return RevealRecorded(journal_entry_id=line, revealed_at=now)


@procedure(
    "credentials.reveal",
    Action.UPDATE,
    subject=REVEALED,
    allow=(at_a_pace, *GATES),
    errors=(Code.FORBIDDEN, Code.CONFLICT, Code.RATE_LIMITED, Code.BAD_GATEWAY),
    scopes=None,
    late=True,
)
async def reveal_credential(ctx: Context, credential: Credential, data: RevealCredential) -> RevealedCredential:
    """Get the value of a credential.

    Only in the session of a person who signed in within the last hour, in a workspace whose owner has turned this on,
    and with the capability `credentials:reveal`, which no role includes. Managers reveal credentials of the workspace
    and of their crews; a SEALED credential is never revealed. The call is in the journal before the value is read. Each
    member may call this three times a minute.
    """
    if credential.value is None:
        raise Refusal(Code.CONFLICT, NO_VALUE)
    asked = {"id": credential.id, "reason": data.reason}
    made = await record_reveal(ctx.caller, asked, place=ctx.workspace_id)
    recorded = RevealRecorded.model_validate(orjson.loads(made.body or b"{}"))
    current = await ctx.get(Credential, credential.id)
    await unless_sealed(ctx, current)
    if current.value is None:
        raise Refusal(Code.CONFLICT, NO_VALUE)
    try:
        value = (await value_of(current.id, current.value, current.secret_ref)).reveal()
    except Unopenable:
        log.warning("credential cannot be opened", credential_id=current.id)
        raise Refusal(Code.INTERNAL, UNOPENABLE) from None
    return RevealedCredential(
        credential_id=current.id,
        name=current.name,
        type=current.type,
        sensitivity=current.sensitivity,
        value=value,
        revealed_at=recorded.revealed_at,
        journal_entry_id=recorded.journal_entry_id,
    )


@procedure("credentials.reveal_policy_get", Action.UPDATE)
async def get_reveal_policy(ctx: Context, data: NoInput) -> RevealPolicy:
    """Get whether values of credentials may be revealed."""
    workspace = await ctx.get(Workspace, ctx.workspace_id or "")
    return RevealPolicy(workspace_id=workspace.id, enabled=workspace.reveals_credentials)


@command("credentials.reveal_policy_set", Action.OWNER, audit="workspace.reveal_policy_set")
async def set_reveal_policy(ctx: Context, data: SetRevealPolicy) -> RevealPolicy:
    """Set whether values of credentials may be revealed.

    Each call is an entry of the journal, also if it changes nothing.
    """
    workspace = await ctx.get(Workspace, ctx.workspace_id or "", lock=True)
    previous = workspace.reveals_credentials
    ctx.record(
        JournalEntry(
            entry_type="credential.reveal_policy_changed",
            severity=Severity.warn,
            actor_type=JournalActor.user,
            actor_id=ctx.user_id,
            summary=f"revealing values of credentials turned {'on' if data.enabled else 'off'}",
            payload={"enabled": data.enabled, "previous": previous, "ip": ctx.caller.client},
        )
    )
    ctx.audit("WORKSPACE", workspace.id, enabled=data.enabled, previous=previous)
    if data.enabled is not previous:
        await ctx.update(Workspace, workspace.id, reveals_credentials=data.enabled)
    return RevealPolicy(workspace_id=workspace.id, enabled=data.enabled)
