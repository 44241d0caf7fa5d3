"""The lock of a workspace while a bundle of it is made or restored. Bundles are files, and no table lists them."""

from datetime import datetime

from models.base import TenantRow, stored_at, tenant_id, text_field, time_field
from models.bounds import ID
from models.personal_data import BY


class BackupLock(TenantRow, table=True):
    """One for each workspace at most. One that has expired belongs to a process that died."""

    __tablename__ = "backup_locks"
    workspace_id: str = tenant_id()
    acquired_by: str = text_field(ID, holds=BY)
    acquired_at: datetime = stored_at()
    expires_at: datetime = time_field()
