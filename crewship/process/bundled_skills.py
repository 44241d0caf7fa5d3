"""The built-in skills: data of this package, written into the catalog at a start.

Unchanged rows are only read. A workspace's skill with the slug or name of a built-in one stays, and the built-in one is
left out.
"""

import hashlib
from importlib.resources import files
from pathlib import PurePath
from typing import Any, Final

import asyncpg

from models.base import table_of
from models.connections import open_connection
from models.resources.skills import Skill, SkillMaturity, SkillSource, SkillVerification
from resolvers.instance.crypto import digest
from resolvers.resources.skills.skill_md import parse
from resolvers.resources.skills.storing import values_of

KNOWN: Final = "SELECT slug, fingerprint FROM skills WHERE source = 'BUNDLED'"
FREE: Final = "SELECT NOT EXISTS (SELECT FROM skills WHERE source <> 'BUNDLED' AND (slug = $1 OR name_key = $2))"
GONE: Final = "DELETE FROM skills WHERE source = 'BUNDLED' AND slug <> ALL ($1)"


def texts() -> dict[str, str]:
    """SKILL.md by slug."""
    root = files("resolvers.resources.skills").joinpath("bundled")
    return {
        PurePath(folder.name).name: folder.joinpath("SKILL.md").read_text(encoding="utf-8")
        for folder in sorted(root.iterdir(), key=lambda folder: folder.name)
        if folder.is_dir() and not folder.name.startswith("_")
    }


async def bring(dsn: str) -> None:
    """Writes missing and changed skills, and removes skills that are no longer bundled."""
    shipped = {slug: (text, hashlib.sha256(text.encode()).hexdigest()) for slug, text in texts().items()}
    connection = await open_connection(dsn)
    try:
        known = {row["slug"]: row["fingerprint"] for row in await connection.fetch(KNOWN)}
        if known == {slug: fingerprint for slug, (_, fingerprint) in shipped.items()}:
            return
        async with connection.transaction():
            await connection.execute("LOCK TABLE skills IN SHARE ROW EXCLUSIVE MODE")  # several processes may start
            await connection.execute(GONE, list(shipped))
            for slug, (text, fingerprint) in shipped.items():
                if known.get(slug) != fingerprint:
                    await _write(connection, text, fingerprint)
    finally:
        await connection.close()


async def _write(connection: "asyncpg.Connection[asyncpg.Record]", text: str, fingerprint: str) -> None:
    row = row_of(text, fingerprint)
    if not await connection.fetchval(FREE, row["slug"], row["name_key"]):
        return
    names, places = list(row), ", ".join(f"${place}" for place in range(1, len(row) + 1))
    kept = {"id", "slug", "version"}
    changed = ", ".join(f"{name} = excluded.{name}" for name in names if name not in kept)
    await connection.execute(
        f"INSERT INTO skills ({', '.join(names)}) VALUES ({places})"  # noqa: S608 - names of columns
        f" ON CONFLICT (slug) DO UPDATE SET {changed}, version = skills.version + 1, updated_at = now()",
        *row.values(),
    )


def row_of(text: str, fingerprint: str) -> dict[str, Any]:
    file = parse(text)
    own = {
        "id": f"sk_{digest(f'{file.vendor}/{file.slug}')[:24]}",
        "slug": file.slug,
        "name": file.slug,
        "name_key": file.slug,
        "vendor": file.vendor,
        "license": file.license,
        "spdx_license": file.spdx,
        "homepage": file.homepage,
        "source": SkillSource.BUNDLED,
        "verification": SkillVerification.VERIFIED,
        "maturity": SkillMaturity.OFFICIAL,
        "allowed_domains": "[]",
        "mcp_transport": "stdio",
        "fingerprint": fingerprint,
    }
    made = Skill(**(values_of(file) | own))
    return {name: value for name in table_of(Skill).c.keys() if (value := made.__dict__.get(name)) is not None}  # noqa: SIM118
