"""Backups of a workspace: bundles in a directory of the server."""

from resolvers.kernel import Domain
from resolvers.oversight.backups.keeping import (
    backup_lock,
    backup_metrics,
    delete_backup,
    download_backup,
    inspect_backup,
    list_backups,
    release_backup_lock,
    rotate_backups,
    verify_backup,
)
from resolvers.oversight.backups.making import create_backup
from resolvers.oversight.backups.outputs import (
    BackupCreated,
    BackupList,
    BackupLockStatus,
    BackupManifest,
    BackupMetrics,
    BackupsRotated,
    BackupTested,
    BackupVerification,
)
from resolvers.oversight.backups.restoring import BackupRestored, restore_backup
from resolvers.oversight.backups.self_testing import self_test_backup

DOMAIN = Domain("backups", scopes=("workspace:admin",))
