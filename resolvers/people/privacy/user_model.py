"""The caller's model in a workspace: the facts that agents have noted, which the caller reads and has forgotten."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Final

from sqlmodel import col

from models.people.privacy import PeerAuditAction, UserModel
from resolvers.kernel import Absent, Action, Code, Context, Input, NoInput, Output, Refusal, Text, command, invalid
from resolvers.people.privacy.cards import Purged, about

FACT: Final = re.compile(r"[ \t]*-[ \t]+([^:\n]*[^:\s][^:\n]*):[ \t]*(.*)")
UNKNOWN: Final = "No such fact has been noted"


class NotedFact(Output):
    """One fact. The key is in lower case."""

    key: str
    value: str


class MyUserModel(Output):
    """The facts that agents of the workspace know of the caller. Without any, only the first four keys are present."""

    user_id: str
    workspace_id: str
    exists: bool
    facts: list[NotedFact]
    user_slug: Annotated[str | None, Absent()] = None
    bytes: Annotated[int | None, Absent()] = None
    created_at: Annotated[datetime | None, Absent()] = None
    updated_at: Annotated[datetime | None, Absent()] = None
    content: Annotated[str | None, Absent()] = None


class Forgotten(Output):
    """The fact that was removed, and those that remain; `exists` is false if it was the last."""

    user_id: str
    forgot: str
    exists: bool
    remaining: list[NotedFact]


class OfFact(Input):
    """The key of a fact, in any case."""

    key: Text


def facts_in(content: str) -> Iterator[NotedFact]:
    """The facts of a model; its other lines are none."""
    for line in content.splitlines():
        if (found := FACT.fullmatch(line)) is not None:
            yield NotedFact(key=found[1].strip().lower(), value=found[2].strip())


def _without(content: str, key: str) -> str:
    """Lines that are no facts stay."""
    kept = [line for line in content.splitlines() if key not in [fact.key for fact in facts_in(line)]]
    return "\n".join(kept)


async def forget_model(ctx: Context, user_id: str) -> int:
    """Removes the model of a user in the workspace, with a row of the audit of peer cards; returns the number."""
    removed = await ctx.delete_where(UserModel, col(UserModel.user_id) == user_id, including_hidden=True)
    if removed:
        ctx.record(about(ctx, user_id, PeerAuditAction.delete))
    return removed


@command("privacy.user_model", Action.SELF)
async def read_my_user_model(ctx: Context, data: NoInput) -> MyUserModel:
    """List what agents know of the caller.

    Lists the facts that agents of the workspace have noted about the caller, and that they get with each run for the
    caller. Recorded in the audit of peer cards.
    """
    found = await ctx.select(UserModel, col(UserModel.user_id) == ctx.user_id).first()
    here = {"user_id": ctx.user_id, "workspace_id": ctx.workspace_id or ""}
    if found is None:
        return MyUserModel(**here, exists=False, facts=[])
    ctx.record(about(ctx, ctx.user_id, PeerAuditAction.read))
    return MyUserModel(
        **here,
        exists=True,
        facts=list(facts_in(found.content)),
        user_slug=found.user_slug,
        bytes=found.bytes,
        created_at=found.created_at,
        updated_at=found.updated_at,
        content=found.content,
    )


@command("privacy.user_model_delete", Action.SELF)
async def delete_my_user_model(ctx: Context, data: NoInput) -> Purged:
    """Delete what agents know of the caller.

    Deletes all facts in the workspace. Consent is unchanged: agents may note new facts unless the caller has opted out.
    Idempotent.
    """
    return Purged(user_id=ctx.user_id, purged=await forget_model(ctx, ctx.user_id))


@command("privacy.user_model_fact_delete", Action.SELF, errors=(Code.NOT_FOUND,))
async def forget_my_fact(ctx: Context, data: OfFact) -> Forgotten:
    """Delete a fact about the caller.

    Lines that are no facts remain; without a further fact the model is deleted.
    """
    key = data.key.strip().lower()
    if not key:
        raise invalid("key", "is blank")
    found = await ctx.select(UserModel, col(UserModel.user_id) == ctx.user_id).locked().first()
    if found is None or key not in [fact.key for fact in facts_in(found.content)]:
        raise Refusal(Code.NOT_FOUND, UNKNOWN)
    content = _without(found.content, key)
    remaining = list(facts_in(content))
    if not remaining:
        await forget_model(ctx, ctx.user_id)
        return Forgotten(user_id=ctx.user_id, forgot=key, exists=False, remaining=[])
    await ctx.update(UserModel, found.id, content=content, bytes=len(content.encode()))
    ctx.record(about(ctx, ctx.user_id, PeerAuditAction.delete))
    return Forgotten(user_id=ctx.user_id, forgot=key, exists=True, remaining=remaining)
