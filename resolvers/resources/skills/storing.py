"""Stores an imported SKILL.md: as a new skill, or as a change of the skill with its slug (contract: skills,
skill_md.upsert).

The catalog belongs to the instance, so slugs and names are compared across workspaces. A writer holds the catalog's
lock, so checks of taken names remain true until the commit.
"""

from typing import Any, Final

import orjson
from sqlmodel import col

from models import bounds
from models.resources.skills import Skill, SkillMaturity, SkillSource
from resolvers.kernel import Code, Context, Refusal
from resolvers.resources.skills.catalog import BUNDLED, NOT_YOURS
from resolvers.resources.skills.skill_md import SkillFile, name_key

TAKEN: Final = "Another skill has this name"
LICENSE: Final = "license: is none of those that are allowed"
UNLICENSED: Final = "license: there is none"
VENDOR: Final = "community"
WHERE_AGENTS_ARE: Final = "stdio"
MOST_OF_A_WORKSPACE: Final = 500
MOST_OF_THE_INSTANCE: Final = 10_000
"""The catalog is listed as a whole (contract: skills.list): no workspace may make it too long for the others."""


def check_license(file: SkillFile, *, needed: bool, refused: Code = Code.BAD_REQUEST) -> None:
    """Refuses a license that is not allowed or, if one is `needed`, a missing one."""
    if file.license is None and needed:
        raise Refusal(refused, UNLICENSED)
    if file.license is not None and file.spdx is None:
        raise Refusal(refused, LICENSE)


async def hold_catalog(ctx: Context) -> None:
    await ctx.lock("catalog of skills")


async def known(ctx: Context, slug: str) -> Skill | None:
    return await ctx.select(Skill, col(Skill.slug) == slug).first()


async def check_free(ctx: Context, file: SkillFile, skill: Skill | None, refused: Code = Code.BAD_REQUEST) -> None:
    """Refuses if another owner has the slug, another skill has the name, or there is no room for a new skill."""
    if skill is not None and (skill.source is SkillSource.BUNDLED or skill.made_in != ctx.workspace_id):
        raise Refusal(refused, BUNDLED if skill.source is SkillSource.BUNDLED else NOT_YOURS)
    same = await ctx.select(Skill, col(Skill.name_key) == name_key(file.name)).first()
    if same is not None and (skill is None or same.id != skill.id):
        raise Refusal(refused, TAKEN)
    if skill is None:
        await check_room(ctx, refused)


async def check_room(ctx: Context, refused: Code) -> None:
    if await ctx.select(Skill, col(Skill.made_in) == ctx.workspace_id).count() >= MOST_OF_A_WORKSPACE:
        raise Refusal(refused, f"A workspace may have {MOST_OF_A_WORKSPACE} skills of its own at most")
    if await ctx.select(Skill).count() >= MOST_OF_THE_INSTANCE:
        raise Refusal(refused, f"The catalog may have {MOST_OF_THE_INSTANCE:,} skills at most")


async def store(
    ctx: Context,
    file: SkillFile,
    skill: Skill | None,
    *,
    vendor: str | None = None,
    homepage: str | None = None,
    source: SkillSource = SkillSource.CUSTOM,
    **changes: Any,
) -> Skill:
    """The new row, or `skill` changed. `vendor` and `homepage` apply if the file has none."""
    values = values_of(file) | changes
    given = {
        "vendor": file.vendor or vendor,
        "homepage": homepage or file.homepage,
        "license": file.license,
        "spdx_license": file.spdx,
    }
    if skill is not None:
        return await ctx.edit(skill, **values, **{name: value for name, value in given.items() if value})
    given["vendor"] = given["vendor"] or VENDOR
    fixed: dict[str, Any] = {"maturity": SkillMaturity.COMMUNITY, "allowed_domains": "[]"}
    made = fixed | given | {"mcp_transport": WHERE_AGENTS_ARE} | values
    return await ctx.insert(Skill(slug=file.slug, made_in=ctx.workspace_id, source=source, **made), conflict=TAKEN)


def values_of(file: SkillFile) -> dict[str, Any]:
    return {
        "name": file.name,
        "name_key": name_key(file.name),
        "display_name": file.display_name,
        "description": file.description or None,
        "skill_version": file.version or "1.0.0",
        "author": file.author,
        "category": file.category,
        "icon": file.icon,
        "tags": as_text(file.tags),
        "credential_requirements": as_text(file.credential_requirements),
        "content": file.content,
        "scan_status": file.scan_status,
        "description_quality": None
        if file.description_quality is None
        else bounds.cut(file.description_quality, bounds.DESCRIPTION),
    }


def as_text(values: Any) -> str:
    return orjson.dumps(list(values)).decode()
