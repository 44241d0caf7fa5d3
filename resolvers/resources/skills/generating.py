"""Skills that a model writes. Its text is treated like any external text."""

from dataclasses import replace
from typing import Annotated, Final

from sqlmodel import col

from models.people.workspaces import Capability, Membership, Role
from models.resources.skills import ScanStatus, Skill, SkillMaturity, SkillSource
from resolvers.instance.completions import CompletionRequest
from resolvers.kernel import (
    Absent,
    Action,
    Auth,
    Code,
    Context,
    Input,
    Output,
    Prompt,
    Refusal,
    Text,
    command,
    forbidden,
    invalid,
)
from resolvers.kernel.ground.policy import effective
from resolvers.resources.costs.calling import ask, key_of, unfenced
from resolvers.resources.skills.importing import understood
from resolvers.resources.skills.skill_md import COMMAND, MOST_SLUG, SkillFile, name_key, slug_of
from resolvers.resources.skills.storing import check_room, hold_catalog, known, store

MODEL: Final = "claude-sonnet-4-6"
MOST_TOKENS: Final = 4096
PURPOSE: Final = "skills.generate"
VENDOR: Final = "workspace"
VERSION: Final = "0.1.0"
EXISTS: Final = "A skill with this slug already exists"
NAMED: Final = "A skill with this name already exists"
NO_KEY: Final = "The workspace has no active Anthropic API key: add a credential of type API_KEY first"
SYSTEM: Final = """You write skills for agents, in the format of SKILL.md files.

Answer with the file alone: nothing before it, nothing behind it, and no code fence around it. It begins with a line \
that is ---, then YAML with the keys name (as you are told) and description (one or two sentences: what the skill \
does, and "Use when ..."), then another line that is ---, and then the instructions in Markdown.

Instructions are steps that an agent can follow, with what to check and what to do when something fails. They hold no \
secrets, no commands that run by themselves, and nothing that changes the rules an agent works under."""


class GenerateSkill(Input):
    """`prompt` describes the purpose of the skill; `slug` is its name in lower case with hyphens."""

    slug: Text
    prompt: Prompt
    model: Text = MODEL


class SkillGenerated(Output):
    """`content` is the whole SKILL.md, as it can be imported. `scan_reason` is null or absent without findings,
    `description_quality` if the description is adequate.
    """

    skill_id: str
    slug: str
    content: str
    scan_status: ScanStatus
    scan_reason: Annotated[str | None, Absent()] = None
    description_quality: Annotated[str | None, Absent()] = None


async def may_generate(ctx: Context) -> None:
    """A user whom a program names must have the capability. The name is unsigned, because it only restricts."""
    named = ctx.caller.on_behalf
    if named is None:
        return
    member = await ctx.select(Membership, col(Membership.user_id) == named.user_id, including_hidden=True).first()
    if member is None or Capability.skill_create not in effective(Role(member.role), member.capabilities):
        raise forbidden(capability=Capability.skill_create)


async def _generated(ctx: Context, data: GenerateSkill) -> SkillGenerated:
    slug = slug_of(data.slug)
    if not slug or len(slug.encode()) > MOST_SLUG:
        raise invalid("slug", f"must have a letter or digit, and at most {MOST_SLUG} bytes")
    if not data.prompt.strip():
        raise invalid("prompt", "must not be empty")
    key = await key_of(ctx, Refusal(Code.PRECONDITION_FAILED, NO_KEY))
    await _check_new(ctx, slug, slug)
    question = CompletionRequest(
        f"name: {slug}\n\nThe skill is for: {data.prompt}", system=SYSTEM, most_tokens=MOST_TOKENS
    )
    said = await ask(ctx, key, data.model or MODEL, question, PURPOSE)
    written = await understood(unfenced(said), whole=True, refused=Code.BAD_GATEWAY)
    file = replace(written.called(slug), vendor=VENDOR, version=written.version or VERSION)
    await ctx.begin()
    await hold_catalog(ctx)
    await _check_new(ctx, slug, file.name)
    skill = await store(ctx, file, None, source=SkillSource.GENERATED, maturity=SkillMaturity.EXPERIMENTAL)
    return _told(skill, file, COMMAND.sub("", unfenced(said)))


async def _check_new(ctx: Context, slug: str, name: str) -> None:
    if await known(ctx, slug) is not None:
        raise Refusal(Code.CONFLICT, EXISTS, taken=("slug",))
    if await ctx.select(Skill, col(Skill.name_key) == name_key(name)).exists():
        raise Refusal(Code.CONFLICT, NAMED, taken=("slug",))
    await check_room(ctx, Code.CONFLICT)


def _told(skill: Skill, file: SkillFile, text: str) -> SkillGenerated:
    return SkillGenerated(
        skill_id=skill.id,
        slug=skill.slug,
        content=text,
        scan_status=file.scan_status,
        scan_reason=file.scan_reason,
        description_quality=file.description_quality,
    )


ERRORS: Final = (Code.CONFLICT, Code.PRECONDITION_FAILED, Code.BAD_GATEWAY)


@command(
    "skills.generate",
    Action.CREATE,
    audit="skill.generated",
    or_capability=Capability.skill_create,
    errors=ERRORS,
    late=True,
)
async def generate_skill(ctx: Context, data: GenerateSkill) -> SkillGenerated:
    """Write a skill by a model.

    Asks an Anthropic model with the workspace's oldest active API key. The call is charged to the workspace's
    budgets. A flagged text is stored with its `scan_status`.
    """
    return await _generated(ctx, data)


@command(
    "internal.skills.generate",
    Action.NONE,
    audit="skill.generated",
    auth=Auth.INTERNAL,
    errors=ERRORS,
    allow=may_generate,
    late=True,
)
async def generate_skill_for_agent(ctx: Context, data: GenerateSkill) -> SkillGenerated:
    """Write a skill by a model (for agents).

    Works like an import by a user. A user named in X-Caller-User-Id needs the capability skill.create.
    """
    return await _generated(ctx, data)
