"""A file of a crew is backed up and restored, to see that it can be."""

import asyncio
import hashlib
import io
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
from pydantic import Field
from sqlmodel import col

from models import bounds
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.instance.bundles.faults import BundleError
from resolvers.instance.bundles.files import BLOBS, FILES, Counted, Described, add_files, put_file
from resolvers.instance.bundles.reading import FORMATS, Bundle
from resolvers.instance.bundles.sealing import Sealing
from resolvers.instance.bundles.writing import PARTIAL, Payload, write_bundle
from resolvers.instance.confined import open_directory, open_file, owner_of_agents_files
from resolvers.kernel import Action, Code, Context, Input, command, instance, invalid
from resolvers.oversight.backups.outputs import BackupTested
from resolvers.oversight.backups.places import folder_of
from resolvers.rules.containers import no_containers

NAME: Final = "canary"
BYTES: Final = 1024
MOST_AGENTS: Final = 100
NO_CONTAINER: Final = "No container of the crew is running"
DIFFERS: Final = "The restored file differs from the one that was backed up"
PARTS: Final = ("contents", "source_instance", "created_by")


class SelfTestBackup(Input):
    """`crew_id`: the crew whose folder is tried."""

    crew_id: Annotated[str, Field(strict=True, max_length=bounds.ID)] = ""


@command(
    "backups.self_test",
    Action.MANAGE,
    audit="backup.self_test",
    errors=(Code.UNAVAILABLE, Code.NOT_FOUND),
    late=True,
)
async def self_test_backup(ctx: Context, data: SelfTestBackup) -> BackupTested:
    """Test the backup of a crew.

    Writes a file into the folder of the crew, backs it up, changes it, restores it and compares it. Keeps neither the
    file nor the bundle. `ok` is false if no container of the crew is running. UNAVAILABLE without a container engine;
    this is checked first.
    """
    if ctx.outside.containers is None:
        raise no_containers()
    if not data.crew_id.strip():
        raise invalid("crew_id", "is required")
    crew = await ctx.get(Crew, data.crew_id)
    began, place = time.monotonic(), f"{crew.id}/.backup-{os.urandom(8).hex()}/{NAME}"
    error, size = NO_CONTAINER, 0
    if await _runs(ctx, crew):
        folder = await asyncio.to_thread(folder_of, ctx.workspace_id or "")
        above = ("workspaces", ctx.workspace_id or "", "crews")
        try:
            error, size = await asyncio.to_thread(_tried, folder, above, place)
        finally:
            await asyncio.shield(instance.store.discard(*above, *place.split("/")[:2]))
    await ctx.begin()
    ctx.audit("CREW", crew.id, ok=not error)
    return BackupTested(
        ok=not error,
        crew_id=crew.id,
        crew_slug=crew.slug,
        canary_path=place,
        canary_bytes=BYTES,
        bundle_bytes=size,
        elapsed_ms=round((time.monotonic() - began) * 1000),
        error=error or None,
    )


async def _runs(ctx: Context, crew: Crew) -> bool:
    containers: Any = ctx.outside.containers
    for agent in await ctx.select(Agent, col(Agent.crew_id) == crew.id).limit(MOST_AGENTS).all():
        async with containers.inside(ctx.workspace_id, crew.id, agent.id) as inside:
            if inside is not None:
                return True
    return False


def _tried(folder: Path, above: Sequence[str], place: str) -> tuple[str, int]:
    """The text of a fault, empty if there is none, and the size of the bundle."""
    import pyrage

    crew, below, name = place.split("/")
    identity = pyrage.x25519.Identity.generate()
    target = folder / f".{os.urandom(8).hex()}.self-test{PARTIAL}"
    base = instance.store.open_base((*above, crew), make=True)
    try:
        written = _put(base, (below, name), os.urandom(BYTES))
        here = open_directory(base, (below,))
        try:
            size = _collected(folder, target, here, Sealing(str(identity.to_public())))
            _put(base, (below, name), os.urandom(BYTES))
            _restored(target, here, str(identity))
            with os.fdopen(open_file(here, name), "rb") as file:
                same = hashlib.sha256(file.read()).hexdigest() == written
        finally:
            os.close(here)
    except BundleError as error:
        return str(error), 0
    finally:
        os.close(base)
        target.unlink(missing_ok=True)
    return "" if same else DIFFERS, size


def _put(base: int, names: tuple[str, ...], content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    file = Described(names, len(content), 0o600, digest)
    put_file(base, file, io.BytesIO(content), owner_of_agents_files(), replace=True)
    return digest


def _collected(folder: Path, target: Path, here: int, seal: Sealing) -> int:
    payload = Payload(folder, seal)
    try:
        for _ in add_files(payload, here, frozenset(), Counted()):
            pass
        _, digest = payload.finish()
        manifest: dict[str, Any] = {name: {} for name in PARTS} | {"format_version": FORMATS[-1]}
        manifest |= {"encryption": seal.described}
        manifest |= {"checksums": {"payload_sha256": f"sha256:{digest}", "content_bytes": payload.content}}
        return write_bundle(target, orjson.dumps(manifest), "", None, payload)
    finally:
        payload.close()


def _restored(target: Path, here: int, identity: str) -> None:
    with Bundle(target) as bundle:
        bundle.check()
        with bundle.entries(identity) as entries:
            file = None
            for name, _, content in entries:
                if name.startswith(FILES):
                    file = Described.read(content.read())
                elif name.startswith(BLOBS) and file is not None:
                    put_file(here, file, content, owner_of_agents_files(), replace=True)
