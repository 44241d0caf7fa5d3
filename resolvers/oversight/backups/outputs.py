"""Answers about bundles: the manifest, an entry of the list, the lock."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from resolvers.kernel import Absent, Output


class BackupScope(StrEnum):
    """The scope of a bundle."""

    crew = "crew"
    workspace = "workspace"
    instance = "instance"


class BackupScopeLevel(StrEnum):
    """Which files a bundle has: `quick` leaves out the home directories of agents. Rows are the same in all."""

    quick = "quick"
    standard = "standard"
    full = "full"


class BackupTarget(StrEnum):
    """Where a bundle can be restored."""

    same_instance = "same-instance"
    any_instance = "any-instance"


class BackupCreated(Output):
    """A bundle that was made. `payload_sha256` begins with `sha256:`."""

    path: str
    size_bytes: int
    payload_sha256: str
    format_version: int
    scope: BackupScope
    scope_level: Annotated[BackupScopeLevel | None, Absent()] = None
    created_at: datetime
    encrypted: bool


class BackupEntry(Output):
    """A bundle in the list. `error` says why it cannot be restored; scope and time of such a one are from the name of
    the file if its manifest cannot be read, and `encrypted` is false.
    """

    path: str
    file_name: str
    size_bytes: int
    scope: BackupScope
    scope_level: Annotated[BackupScopeLevel | None, Absent()] = None
    encrypted: bool
    created_at: datetime
    format_version: Annotated[int | None, Absent()] = None
    error: Annotated[str | None, Absent()] = None


class BackupList(Output):
    """The bundles of the workspace, the newest first."""

    data: list[BackupEntry]


class BackupAuthor(Output):
    """Who made a bundle, and in which role."""

    user_id: str
    email: str
    role: str


class BackupSource(Output):
    """The server that made a bundle."""

    hostname: str
    platform: str
    docker_version: Annotated[str | None, Absent()] = None


class BackedUpWorkspace(Output):
    """The workspace of a bundle."""

    id: str
    slug: str
    name: str


class BackedUpCrew(Output):
    """A crew of a bundle."""

    id: str
    slug: str
    name: str
    runtime_image: Annotated[str | None, Absent()] = None
    cached_image_digest: Annotated[str | None, Absent()] = None
    config_hash: Annotated[str | None, Absent()] = None
    devcontainer_config_included: bool
    mise_config_included: bool
    workspace_included: bool
    memory_included: bool
    agent_count: int


class BackupContents(Output):
    """The contents of a bundle: rows by table, files, and their bytes."""

    workspace: Annotated[BackedUpWorkspace | None, Absent()] = None
    crews: Annotated[list[BackedUpCrew] | None, Absent()] = None
    rows: Annotated[dict[str, Any] | None, Absent()] = None
    files: Annotated[int | None, Absent()] = None
    file_bytes: Annotated[int | None, Absent()] = None
    files_skipped: Annotated[int | None, Absent()] = None


class BackupEncryption(Output):
    """The seal of the payload."""

    enabled: bool
    algorithm: Annotated[str | None, Absent()] = None
    key_derivation: Annotated[str | None, Absent()] = None
    recipients: Annotated[list[str] | None, Absent()] = None


class BackupChecksums(Output):
    """The digest of the sealed payload, and the size of its content."""

    payload_sha256: str
    content_bytes: Annotated[int | None, Absent()] = None


class BackupManifest(Output):
    """The manifest of a bundle, which is never sealed."""

    format_version: int
    crewship_version_at_backup: str
    schema_migration_versions: list[int]
    scope: BackupScope
    scope_level: Annotated[BackupScopeLevel | None, Absent()] = None
    compatible_targets: list[BackupTarget]
    created_at: datetime
    created_by: BackupAuthor
    source_instance: BackupSource
    contents: BackupContents
    encryption: BackupEncryption
    checksums: BackupChecksums


class BackupVerification(Output):
    """The result of a verification: valid if every byte of the bundle is as it was written; `error` is empty then."""

    valid: bool
    size_bytes: int
    manifest: BackupManifest
    error: str


class BackupLockStatus(Output):
    """The lock of the workspace. While it is not held, only `workspace_id` is set."""

    held: bool
    workspace_id: Annotated[str | None, Absent()] = None
    acquired_by: Annotated[str | None, Absent()] = None
    acquired_at: Annotated[datetime | None, Absent()] = None
    expires_at: Annotated[datetime | None, Absent()] = None


class BackupsRotated(Output):
    """Paths of bundles that were deleted, or would be; null if none."""

    deleted: list[str] | None
    dry_run: bool


class BackupMetrics(Output):
    """Numbers since the process started, of all workspaces: a reason is `<operation>:<reason>`. Durations are of the
    last 1,000 backups. `lock_held_seconds_by_workspace` has the workspace of the call alone, while its lock is held.
    """

    created_total: int
    created_by_scope: dict[str, Any]
    failed_total: int
    failed_by_reason: dict[str, Any]
    restored_total: int
    size_bytes_total: int
    duration_seconds_p50: float
    duration_seconds_p95: float
    duration_seconds_mean: float
    lock_held_seconds_by_workspace: dict[str, Any]


class BackupTested(Output):
    """A test of backups. `canary_path` is the file that was written, backed up, changed and restored; `error` says why
    it is not ok.
    """

    ok: bool
    crew_id: str
    crew_slug: str
    canary_path: str
    canary_bytes: int
    bundle_bytes: int
    elapsed_ms: int
    error: Annotated[str | None, Absent()] = None


def shown(kind: type[Output], found: Any) -> Any:
    """An object of a manifest as an answer: unknown keys are left out. Raises ValueError for a wrong one."""
    if not isinstance(found, dict):
        raise ValueError("not an object")
    made = {name: value for name, value in found.items() if name in kind.model_fields}
    for name, inner in _INNER.get(kind, {}).items():
        if made.get(name) is None:
            continue
        value = made[name]
        made[name] = [shown(inner, each) for each in value] if isinstance(value, list) else shown(inner, value)
    return kind.model_validate(made)


_INNER: dict[type[Output], dict[str, type[Output]]] = {
    BackupManifest: {
        "created_by": BackupAuthor,
        "source_instance": BackupSource,
        "contents": BackupContents,
        "encryption": BackupEncryption,
        "checksums": BackupChecksums,
    },
    BackupContents: {"workspace": BackedUpWorkspace, "crews": BackedUpCrew},
}
