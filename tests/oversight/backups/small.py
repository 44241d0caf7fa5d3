"""A small bundle of the format alone, without a database."""

from pathlib import Path
from typing import Any

import orjson
import pyrage

from resolvers.instance.bundles.sealing import Sealing
from resolvers.instance.bundles.writing import Payload, write_bundle


def small_bundle(
    folder: Path,
    *,
    sealed: bool = False,
    entries: dict[str, bytes] | None = None,
    content_bytes: int | None = None,
    **told: Any,
) -> tuple[Path, str | None]:
    """Its path, and the identity that opens it."""
    identity = pyrage.x25519.Identity.generate() if sealed else None
    seal = None if identity is None else Sealing(str(identity.to_public()))
    payload = Payload(folder, seal)
    for name, content in (entries or {"head.json": b"{}", "db/labels/0": b"one\ttwo\n"}).items():
        payload.add(name, content)
    _, digest = payload.finish()
    manifest: dict[str, Any] = {
        "format_version": 3,
        "scope": "workspace",
        "contents": {"workspace": {"id": "c0"}},
        "encryption": {"enabled": sealed},
        "created_at": "2026-01-01T00:00:00Z",
        "created_by": {"user_id": "c0123456789abcdef01234567", "email": "a@example.com", "role": "OWNER"},
        "crewship_version_at_backup": "0.1.0",
        "schema_migration_versions": [2026120100],
        "scope_level": "standard",
        "compatible_targets": ["any-instance"],
        "source_instance": {"hostname": "here", "platform": "linux/x86_64"},
        "checksums": {"payload_sha256": f"sha256:{digest}", "content_bytes": payload.content},
    } | told
    if content_bytes is not None:
        manifest["checksums"]["content_bytes"] = content_bytes
    path = folder / "small.tar.zst"
    write_bundle(path, orjson.dumps(manifest), "How to restore it", None, payload)
    payload.close()
    return path, None if identity is None else str(identity)
