"""The skills that come with the server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from crewship.process import bundled_skills
from resolvers.resources.skills.skill_md import parse
from tests.conftest import Database
from tests.every import each_of
from tests.faults.servers import KEYS, addresses
from tests.process.commands import environment, serving

pytestmark = pytest.mark.anyio


@each_of("slug", bundled_skills.texts())
def test_a_bundled_skill_is_one_that_an_import_would_take(slug: str) -> None:
    file = parse(bundled_skills.texts()[slug])
    assert (file.slug, file.spdx, file.description_quality) == (slug, "Apache-2.0", None)
    assert file.vendor
    assert file.icon
    assert len(file.content) > 500


def test_there_are_those_of_the_contract() -> None:
    names = {parse(text).vendor: 0 for text in bundled_skills.texts().values()}
    for text in bundled_skills.texts().values():
        names[parse(text).vendor] += 1
    assert names == {"anthropic": 12, "crewship": 1}


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """What the package holds, to be changed."""
    held = bundled_skills.texts()
    monkeypatch.setattr(bundled_skills, "texts", lambda: held)
    return held


async def stored(owner: Any) -> dict[str, Any]:
    rows = await owner.fetch("SELECT * FROM skills ORDER BY slug")
    return {row["slug"]: dict(row) for row in rows}


async def test_they_are_brought_once_and_kept_as_they_are_shipped(database: Database, changed: dict[str, str]) -> None:
    owner = await asyncpg.connect(database.owner_url)
    try:
        await bundled_skills.bring(database.owner_url)
        first = await stored(owner)
        assert first.keys() == changed.keys()
        one = first["theme-factory"]
        expected = {
            "source": "BUNDLED", "verification": "VERIFIED", "maturity": "OFFICIAL", "scan_status": "CLEAN",
            "runtime": "INSTRUCTIONS", "pricing_tier": "FREE", "made_in": None, "category": "DESIGN",
        }  # fmt: skip
        assert {key: one[key] for key in expected} == expected
        await bundled_skills.bring(database.owner_url)
        assert await stored(owner) == first, "nothing is written where nothing has changed"
        changed["theme-factory"] += "\nMore.\n"
        text = changed.pop("canvas-design")
        await bundled_skills.bring(database.owner_url)
        second = await stored(owner)
        assert second.keys() == first.keys() - {"canvas-design"}
        assert second["theme-factory"]["id"] == one["id"]
        assert second["theme-factory"]["content"].endswith("More.\n")
        assert second["theme-factory"]["version"] == 2
        await owner.execute("UPDATE skills SET slug = 'canvas-design', source = 'CUSTOM' WHERE slug = 'claude-api'")
        changed["canvas-design"] = text
        await bundled_skills.bring(database.owner_url)
        third = await stored(owner)
        assert third["canvas-design"]["source"] == "CUSTOM", "somebody's skill stays"
    finally:
        await owner.close()


@pytest.mark.slow
async def test_a_start_of_the_server_brings_them(database: Database, tmp_path: Path) -> None:
    owner = await asyncpg.connect(database.owner_url)
    try:
        assert await stored(owner) == {}
        with serving(env=environment(tmp_path, **KEYS | addresses(database))):
            assert (await stored(owner)).keys() == bundled_skills.texts().keys()
    finally:
        await owner.close()
