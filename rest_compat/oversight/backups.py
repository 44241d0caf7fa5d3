"""REST: backups."""

from resolvers.oversight import backups
from rest_compat.http.table import DELETE, GET, POST, Download

BACKUPS = "/api/v1/admin/backups"
ROUTES = (
    POST(BACKUPS, backups.create_backup, backups.BackupCreated, status=201),
    GET(BACKUPS, backups.list_backups, backups.BackupList),
    DELETE(BACKUPS, backups.delete_backup, status=204),
    GET(f"{BACKUPS}/download", backups.download_backup, gives=Download()),
    GET(f"{BACKUPS}/inspect", backups.inspect_backup, backups.BackupManifest),
    GET(f"{BACKUPS}/verify", backups.verify_backup, backups.BackupVerification),
    POST(f"{BACKUPS}/rotate", backups.rotate_backups, backups.BackupsRotated),
    POST(f"{BACKUPS}/restore", backups.restore_backup, backups.BackupRestored),
    GET(f"{BACKUPS}/status", backups.backup_lock, backups.BackupLockStatus),
    GET(f"{BACKUPS}/metrics", backups.backup_metrics, backups.BackupMetrics),
    POST(f"{BACKUPS}/self-test", backups.self_test_backup, backups.BackupTested),
    DELETE(f"{BACKUPS}/status", backups.release_backup_lock, status=204),
)
