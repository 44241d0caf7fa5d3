"""What is left of rows that have expired: how many there were, and up to where there are no events any more."""

from prometheus_client import Counter

from models.kernel import SWEPT

REMOVED = Counter(
    "crewship_rows_removed",
    "Rows that this process has removed since they had expired, by table, and by whose days",
    ["table", "kept_by"],
)
DROPPED = Counter("crewship_partitions_dropped", "Partitions that this process has dropped, by table", ["table"])
KEPT = "ON CONFLICT (name) DO UPDATE SET value = excluded.value, created_at = now()"
SWEPT_EVENTS = f"""
    INSERT INTO instance_facts (name, value, created_at)
    SELECT '{SWEPT}', (SELECT xid::text FROM events WHERE created_at < $1 ORDER BY xid DESC, seq DESC LIMIT 1), now()
    WHERE EXISTS (SELECT FROM events WHERE created_at < $1)
    {KEPT}
"""
"""Of all workspaces: those from before $1 go."""
SWEPT_OF_WORKSPACES = f"""
    noted AS (
        INSERT INTO instance_facts (name, value, created_at)
        SELECT '{SWEPT}:' || workspace_id, max(xid::text::bigint)::text, now() FROM gone GROUP BY workspace_id
        {KEPT} WHERE instance_facts.value::bigint < excluded.value::bigint
    )
"""
"""Of those whose events are in `gone`."""


def swept_names(workspace_id: str | None) -> list[str]:
    """The facts that say up to where the events of a channel are gone."""
    return [SWEPT] if workspace_id is None else [SWEPT, f"{SWEPT}:{workspace_id}"]
