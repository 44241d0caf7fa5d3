"""Facts about removed rows: their number, and the position up to which events have been removed."""

from prometheus_client import Counter

from models.kernel import SWEPT

REMOVED = Counter(
    "crewship_rows_removed",
    "Rows that this process has removed since they had expired, by table, and by whose days",
    ["table", "kept_by"],
)
DROPPED = Counter("crewship_partitions_dropped", "Partitions that this process has dropped, by table", ["table"])


def swept_names(workspace_id: str | None) -> list[str]:
    """The facts with the position up to which the events of a channel were removed."""
    return [SWEPT] if workspace_id is None else [SWEPT, f"{SWEPT}:{workspace_id}"]
