"""Import of one SKILL.md: of its text, or from an address."""

import asyncio
from typing import Annotated

from pydantic import Field

from models import bounds
from models.oversight.journal import Severity
from resolvers.instance.outbound import Policy
from resolvers.kernel import Action, Bool, Code, Context, Input, Output, Refusal, Url, command
from resolvers.resources.skills.catalog import tell
from resolvers.resources.skills.fetching import SECONDS, address_of, fetched
from resolvers.resources.skills.skill_md import SkillFault, SkillFile, parse
from resolvers.resources.skills.storing import check_free, check_license, hold_catalog, known, store

SkillText = Annotated[str, Field(strict=True, max_length=bounds.SKILL)]
ONE_OF = "Send either url or content"


class ImportSkill(Input):
    """Either `content`, a whole SKILL.md, or its `url`.

    `url` is an https address, a file on github.com, or `owner/repository/path` on the branch main. A license that is
    not allowed is refused, unless `allow_unsafe_license` is set.
    """

    url: Url = ""
    content: SkillText = ""
    allow_unsafe_license: Bool = False


class SkillImported(Output):
    """`created` is false if an existing skill with this slug was updated."""

    skill_id: str
    name: str
    slug: str
    created: bool


async def understood(text: str, *, whole: bool = False, refused: Code = Code.BAD_REQUEST) -> SkillFile:
    """Parses a SKILL.md, in a thread because parsing is slow."""
    try:
        return await asyncio.to_thread(parse, text, whole=whole)
    except SkillFault as fault:
        raise Refusal(refused, str(fault)) from None


@command("skills.import", Action.CREATE, audit="skill.imported", late=True)
async def import_skill(ctx: Context, data: ImportSkill) -> SkillImported:
    """Import a SKILL.md.

    Replaces a skill with the same slug if this workspace created it. A flagged text is imported with its
    `scan_status`.
    """
    if bool(data.url.strip()) == bool(data.content):
        raise Refusal(Code.BAD_REQUEST, ONE_OF)
    url = address_of(data.url) if data.url else None
    text = data.content
    if url is not None:
        async with ctx.outside.http(Policy.PUBLIC, timeout=SECONDS, most=bounds.SKILL) as http:
            text = await fetched(http, url)
    file = await understood(text)
    if not data.allow_unsafe_license:
        check_license(file, needed=False)
    await ctx.begin()
    await hold_catalog(ctx)
    before = await known(ctx, file.slug)
    await check_free(ctx, file, before)
    skill = await store(ctx, file, before, homepage=url)
    tell(
        ctx,
        "skill.imported",
        f"skill imported: {file.slug}",
        Severity.warn if data.allow_unsafe_license else Severity.info,
        skill_id=skill.id,
        slug=file.slug,
        created=before is None,
        source="url" if url else "content",
        unsafe_license=data.allow_unsafe_license,
    )
    return SkillImported(skill_id=skill.id, name=skill.name, slug=skill.slug, created=before is None)
