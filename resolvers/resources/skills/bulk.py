"""Import of all skills of a git repository."""

import fnmatch
from typing import Annotated, Final

from pydantic import Field

from models import bounds
from resolvers.kernel import (
    TRIMMED,
    Absent,
    Action,
    Bool,
    Code,
    Context,
    Input,
    Output,
    Refusal,
    Text,
    at_most,
    command,
)
from resolvers.resources.skills.importing import understood
from resolvers.resources.skills.repositories import skills_in
from resolvers.resources.skills.skill_md import SkillFile
from resolvers.resources.skills.storing import check_free, check_license, hold_catalog, known, store

MOST_GLOBS: Final = 50
TOO_LONG: Final = f"has more than {bounds.SKILL >> 10} KiB"
DRY_RUN: Final = "dry-run"


class BulkImportSkills(Input):
    """`git_url` is an https address. `git_ref` is a branch, a tag or a commit; the default is HEAD.

    `paths` are patterns; a file must match one of them. `vendor` applies to files that name none. With `dry_run`
    nothing is written, and importable files are listed as skipped. Every file must name a permitted license unless
    `allow_unsafe_license` is set.
    """

    git_url: Annotated[str, Field(strict=True, min_length=1, max_length=bounds.URL), TRIMMED]
    git_ref: Annotated[str, Field(strict=True, max_length=bounds.LABEL)] = ""
    paths: Annotated[list[Text], at_most(MOST_GLOBS)] = []
    vendor: Text | None = None
    allow_unsafe_license: Bool = False
    dry_run: Bool = False


class BulkImported(Output):
    """A skill that was created or updated."""

    skill_id: str
    slug: str
    created: bool


class BulkSkipped(Output):
    """A skipped file, and the reason."""

    path: str
    slug: Annotated[str | None, Absent()] = None
    reason: str


class BulkImport(Output):
    """`truncated`: the repository has more files than the limit."""

    source: str
    total_found: int
    total_imported: int
    imported: list[BulkImported]
    skipped: list[BulkSkipped]
    truncated: Annotated[bool | None, Absent()] = None


@command("skills.bulk_import", Action.CREATE, audit="skill.imported", late=True, errors=(Code.BAD_GATEWAY,))
async def bulk_import_skills(ctx: Context, data: BulkImportSkills) -> BulkImport:
    """Import all skills of a git repository.

    Takes every file SKILL.md of one commit, outside of .git, node_modules and vendor, at most 500 of at most 512 KiB. A
    file that cannot be imported is skipped, with the reason. Links and modules are not followed.
    """
    found = await skills_in(ctx, data.git_url, data.git_ref)
    files = [(path, content) for path, content in found.files if _is_wanted(path, data.paths)]
    good, skipped = list[tuple[str, SkillFile]](), list[BulkSkipped]()
    for path, content in files:
        read = await _read(path, content, data.allow_unsafe_license)
        if isinstance(read, BulkSkipped):
            skipped.append(read)
        else:
            good.append((path, read))
    await ctx.begin()
    imported = list[BulkImported]()
    if data.dry_run:
        skipped += [BulkSkipped(path=path, slug=file.slug, reason=DRY_RUN) for path, file in good]
    else:
        await hold_catalog(ctx)
        for path, file in good:
            stored = await _stored(ctx, path, file, data)
            (imported if isinstance(stored, BulkImported) else skipped).append(stored)  # type: ignore[arg-type]
    order = {path: number for number, (path, _) in enumerate(files)}
    skipped.sort(key=lambda one: order[one.path])
    for one in imported:
        ctx.audit("SKILL", one.skill_id, slug=one.slug, created=one.created, source=data.git_url)
    return BulkImport(
        source=data.git_url,
        total_found=len(files),
        total_imported=len(imported),
        imported=imported,
        skipped=skipped,
        truncated=found.truncated or None,
    )


def _is_wanted(path: str, globs: list[str]) -> bool:
    return not globs or any(fnmatch.fnmatchcase(path, glob) for glob in globs)


async def _read(path: str, content: bytes | None, unsafe: bool) -> SkillFile | BulkSkipped:
    if content is None:
        return BulkSkipped(path=path, reason=TOO_LONG)
    file = None
    try:
        file = await understood(content.decode())
        if not unsafe:
            check_license(file, needed=True)
    except UnicodeDecodeError:
        return BulkSkipped(path=path, reason="is not UTF-8 text")
    except Refusal as refusal:
        return BulkSkipped(path=path, slug=None if file is None else file.slug, reason=refusal.detail)
    return file


async def _stored(ctx: Context, path: str, file: SkillFile, data: BulkImportSkills) -> BulkImported | BulkSkipped:
    before = await known(ctx, file.slug)
    try:
        await check_free(ctx, file, before)
    except Refusal as refusal:
        return BulkSkipped(path=path, slug=file.slug, reason=refusal.detail)
    skill = await store(ctx, file, before, vendor=data.vendor, homepage=data.git_url)
    return BulkImported(skill_id=skill.id, slug=skill.slug, created=before is None)
