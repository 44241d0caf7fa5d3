"""The statements of the readers of live channels."""

# An event whose transaction is not older than every running one of this database may be followed by one with a smaller
# number: it waits. Distinguishing transactions of other databases costs more than the rest: $4 asks for it.
EVENTS = """
    SELECT xid::text::bigint, seq, channel, type, payload::json,
        extract(epoch FROM clock_timestamp() - created_at)::float8 AS age,
        created_at AS at, cause
    FROM events WHERE (xid, seq) > ($1::text::xid8, $2::bigint)
      AND xid < (SELECT CASE WHEN $4 THEN events_horizon() ELSE pg_snapshot_xmin(pg_current_snapshot()) END)
    ORDER BY xid, seq LIMIT $3
"""
# for each channel by its index, and no more of it than is asked for
MISSED_EVENTS = """
    SELECT e.xid::text::bigint, e.seq, heard.channel, e.type, e.payload::json, e.at, e.cause
    FROM unnest($1::text[]) AS heard(channel) CROSS JOIN LATERAL (
        SELECT xid, seq, type, payload, cause,
            created_at AS at
        FROM events WHERE channel = heard.channel AND (xid, seq) > ($2::text::xid8, $3::bigint)
          AND xid < (SELECT events_horizon())
          AND created_at >= $4::timestamptz
        ORDER BY xid, seq LIMIT $5
    ) e
    ORDER BY e.xid, e.seq LIMIT $5
"""
NOW = "SELECT events_horizon()::text::bigint - 1"
SWEPT = "SELECT coalesce(max(value::bigint), 0) FROM instance_facts WHERE name = ANY ($1::text[])"

# What is watched is seconds behind at most: partitions of frames from before are not looked into.
# Changes of access come with the frames, from the same snapshot: an event may still wait, frames do not.
FRAMES = """
    SELECT NULL AS workspace_id, NULL AS chat_id, seq, channel AS type, NULL AS payload, NULL AS run_id,
        NULL AS created_at
    FROM events WHERE type = 'access.changed' AND (xid, seq) > ($5::text::xid8, $6::bigint)
    UNION ALL
    SELECT watched.workspace_id, watched.chat_id, f.seq, f.type, f.payload::json, f.run_id, f.created_at
    FROM unnest($1::text[], $2::text[], $3::int[]) AS watched(workspace_id, chat_id, seq)
    CROSS JOIN LATERAL (
        SELECT seq, type, payload, run_id, created_at FROM run_frames
        WHERE workspace_id = watched.workspace_id AND chat_id = watched.chat_id AND seq > watched.seq
            AND created_at > now() - interval '1 day'
        ORDER BY seq LIMIT $4
    ) f
"""
MISSED_FRAMES = """
    SELECT seq, type, payload::json, run_id, created_at FROM run_frames
    WHERE workspace_id = $1 AND chat_id = $2 AND seq > $3 AND created_at >= $4 ORDER BY seq LIMIT $5
"""
CHAT = "SELECT agent_id, last_seq FROM chats WHERE workspace_id = $1 AND id = $2"
"""The last frame of a chat."""
STANDING = (
    "SELECT workspace_id, id, last_seq FROM chats"
    " WHERE (workspace_id, id) IN (SELECT * FROM unnest($1::text[], $2::text[]))"
)
AT_WORK = """
    SELECT c.workspace_id, c.id, c.agent_id,
        (SELECT coalesce(min(f.seq), c.last_seq + 1) - 1 FROM run_frames f WHERE f.run_id = r.id)
    FROM runs r JOIN chats c ON c.workspace_id = r.workspace_id AND c.id = r.chat_id
    WHERE r.status = 'RUNNING' AND r.agent_id = ANY ($1::text[])
"""
"""The chats in which agents are at work, and the frame before their run."""
