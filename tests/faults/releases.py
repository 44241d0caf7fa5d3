"""Trees of two releases: this one beside the one before, or beside one that follows."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from models.migrations import head
from tests.process.commands import ROOT

PACKAGES = ("models", "resolvers", "schema", "rest_compat", "runtime", "crewship")
NEXT = "2999_01_01"
FOLLOWING = f'''
"""What a later release may add: columns, an index, a constraint, a table, and values in rows."""

from models.migrations.revisions import execute

revision = "{NEXT}"
down_revision = "{{head}}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        ALTER TABLE runs ADD later_note varchar(200), ADD later_count bigint NOT NULL DEFAULT 0;
        ALTER TABLE messages ADD later_note varchar(200);
        ALTER TABLE crews ADD later_note varchar(200);
        ALTER TABLE chats ADD later_note varchar(200);
        ALTER TABLE agents ADD later_note varchar(200);
        ALTER TABLE events ADD later_note varchar(200);
        ALTER TABLE audit_logs ADD later_note varchar(200);
        ALTER TABLE run_frames ADD later_note varchar(200);
        ALTER TABLE users ADD later_note varchar(200);
        ALTER TABLE memberships ADD later_note varchar(200);
        ALTER TABLE workspaces ADD later_note varchar(200);
        ALTER TABLE sessions ADD later_note varchar(200);
        ALTER TABLE instance_facts ADD later_note varchar(200);
        CREATE TABLE later_things (id varchar(200) PRIMARY KEY, workspace_id text NOT NULL REFERENCES workspaces);
    """)
'''
INDEXED = f'''
"""An index, and values."""

from models.migrations.revisions import build_index, fill

revision = "{NEXT}_1"
down_revision = "{NEXT}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    fill("messages", "later_note = 'filled'", "later_note IS NULL")
    build_index("messages_later_note_idx", "messages (workspace_id, later_note)")
'''
FUNCTION = """
-- Notes of crews that this release or an earlier one creates.
CREATE OR REPLACE FUNCTION note_later() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    NEW.later_note := 'noted';
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER crews_later BEFORE INSERT ON crews FOR EACH ROW EXECUTE FUNCTION note_later();
"""


@dataclass(frozen=True)
class Releases:
    before: Path
    after: Path
    goes_back: bool
    """Whether the release before promises to start on the tables of the one after."""


def _named(tree: Path, version: str) -> Path:
    """With the metadata of an installed distribution: releases know each other by the version."""
    metadata = tree / f"crewship-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: crewship\nVersion: {version}\n")
    return tree


def _present(directory: Path, version: str) -> Path:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, directory / package, ignore=shutil.ignore_patterns("__pycache__"))
    return _named(directory, version)


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the history of the sources, for the release before this one")
    return done.stdout.strip()


def _earlier() -> str:
    """The last release, or what there was before the newest migration."""
    if tag := _git("tag", "--list", "v*", "--sort=-v:refname", "--no-contains", "HEAD").partition("\n")[0]:
        return tag
    added = _git("log", "-1", "--diff-filter=A", "--format=%H", "--", f"models/migrations/versions/{head()}_*.py")
    if not added:
        pytest.skip("the newest migration is not committed")
    return f"{added}^"


def with_the_one_before(directory: Path) -> Releases:
    before, archive = directory / "before", directory / "before.tar"
    _git("archive", "--output", str(archive), _earlier(), *PACKAGES)
    before.mkdir()
    shutil.unpack_archive(archive, before, filter="data")
    promises = "WORKS_FROM" in (before / "models" / "migrations" / "__init__.py").read_text()
    return Releases(_named(before, "0.0.1"), _present(directory / "after", "9.0.0"), promises)


def with_one_that_follows(directory: Path) -> Releases:
    """It adds what a migration may add to the tables that are written most, and a trigger."""
    after = _present(directory / "after", "9.0.0")
    versions = after / "models" / "migrations" / "versions"
    (versions / f"{NEXT}_later.py").write_text(FOLLOWING.format(head=head()).lstrip())
    (versions / f"{NEXT}_1_indexed.py").write_text(INDEXED.lstrip())
    (after / "models" / "sql" / "later.sql").write_text(FUNCTION)
    return Releases(_present(directory / "before", "0.0.1"), after, goes_back=True)


def script(name: str, effects: str) -> str:
    """What an agent is asked for: it speaks, does something that can be counted, and speaks again."""
    steps = [{"text": [f"{name} "], "delay": 0.02}, {"append": {"file": effects, "line": name}}, {"text": ["ends"]}]
    return json.dumps({"script": steps})
