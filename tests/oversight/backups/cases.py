"""Cases of backups, for the tests that are made for every operation."""

from datetime import timedelta
from typing import Any

from models.oversight.backups import BackupLock
from resolvers.kernel import Code
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.oversight.backups.small import small_bundle
from tests.world import now


@entity
def backup_lock(plot: Plot) -> BackupLock:
    """One that is held: no backup is made beside it."""
    of = {"acquired_by": plot.owner.user_id, "acquired_at": now(), "expires_at": now() + timedelta(days=1)}
    return BackupLock(**of, **plot.here)


def _nowhere(estate: Any) -> str:
    return str(estate.world.settings.data_dir / "backups" / "crewship-workspace-none-20260101T000000Z.tar.zst")


def _bundle(estate: Any) -> str:
    """A bundle of the workspace, of the format alone."""
    folder = estate.world.settings.data_dir / "backups" / estate.home.workspace.id
    folder.mkdir(parents=True, exist_ok=True)
    place = estate.home.workspace
    of = {"id": place.id, "slug": place.slug, "name": place.name}
    crew = {name: getattr(estate.home["crew"], name) for name in ("id", "slug", "name")} | {
        "devcontainer_config_included": False,
        "mise_config_included": True,
        "workspace_included": True,
        "memory_included": False,
        "agent_count": 1,
    }
    return str(small_bundle(folder, contents={"workspace": of, "crews": [crew], "rows": {"labels": 1}, "files": 0})[0])


OF_ONE, OF_NONE = Recipe({"path": _bundle}), Recipe({"path": _nowhere}, refused=Code.NOT_FOUND)
RECIPES = {
    "backups.inspect": OF_ONE,
    "backups.verify": OF_ONE,
    "backups.download": OF_NONE,
    "backups.delete": OF_NONE,
    "backups.create": Recipe(
        {
            "scope": "workspace",
            "scope_level": "quick",
            "no_encrypt": True,
            "recipient": "",
            "passphrase": "",
            "output_dir": "",
        },
        chosen=frozenset({"crew_id"}),
        refused=Code.CONFLICT,
    ),
    "backups.restore": Recipe(
        {"path": _bundle, "as_workspace": "restored", "dry_run": True},
        chosen=frozenset({"as_crew"}),
        refused=Code.CONFLICT,
    ),
    "backups.metrics": Recipe(refused=Code.FORBIDDEN),  # nobody is the owner
    "backups.self_test": Recipe(refused=Code.UNAVAILABLE),  # no engine
    # what is deleted on one surface is gone for the other
    "backups.rotate": Recipe({"keep_last": 0, "keep_days": 0}, refused=Code.BAD_REQUEST),
}
