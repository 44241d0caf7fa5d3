"""GraphQL: backups."""

import strawberry

from resolvers.oversight import backups as backup_ops
from resolvers.oversight.backups.outputs import (
    BackedUpWorkspace,
    BackupChecksums,
    BackupContents,
    BackupEntry,
    BackupLockStatus,
)
from schema.bridge.fields import mutation, output, query

output(backup_ops.BackupCreated, fields={"size_bytes": float})
output(BackupEntry, name="Backup", fields={"size_bytes": float})
output(BackedUpWorkspace, fields={"id": strawberry.ID})
output(BackupContents, fields={"file_bytes": float | None, "rows": "Number of rows by table."})
output(BackupChecksums, fields={"content_bytes": float | None})
output(backup_ops.BackupVerification, fields={"size_bytes": float, "error": "Empty if the bundle is valid."})
output(BackupLockStatus, name="BackupLock")
output(backup_ops.BackupMetrics, fields={"size_bytes_total": float})
output(backup_ops.BackupTested, name="BackupTest", fields={"crew_id": strawberry.ID, "bundle_bytes": float})


@strawberry.type
class BackupQuery:
    backups = query(backup_ops.list_backups)
    backup_manifest = query(backup_ops.inspect_backup)
    backup_verification = query(backup_ops.verify_backup)
    backup_lock = query(backup_ops.backup_lock)
    backup_metrics = query(backup_ops.backup_metrics)


@strawberry.type
class BackupMutation:
    create_backup = mutation(backup_ops.create_backup)
    delete_backup = mutation(backup_ops.delete_backup)
    restore_backup = mutation(backup_ops.restore_backup)
    test_backup = mutation(backup_ops.self_test_backup)
    rotate_backups = mutation(backup_ops.rotate_backups)
    release_backup_lock = mutation(backup_ops.release_backup_lock)
