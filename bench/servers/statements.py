"""The reference schema's SQL that the hand-written floors and the FastAPI server share in meaning, for asyncpg."""

COLUMNS = (
    "id", "workspace_id", "name", "slug", "description", "color", "icon", "avatar_style", "container_memory_mb",
    "container_cpus", "container_ttl_hours",
    "network_mode", "allowed_domains", "runtime_image", "devcontainer", "mcp_config", "cached_image", "max_agents",
    "issue_prefix", "issue_counter",
    "budget_usd", "created_by", "created_at", "updated_at", "deleted_at",
)  # fmt: skip
_CREW = f"""
    SELECT {", ".join("c." + name for name in COLUMNS)},
        (SELECT count(*) FROM agents a WHERE a.crew_id = c.id AND a.deleted_at IS NULL) agents,
        (SELECT count(*) FROM crew_members m WHERE m.crew_id = c.id) members
    FROM crews c WHERE c.workspace_id = $1 AND c.deleted_at IS NULL"""
_NEWEST = "ORDER BY created_at DESC, id LIMIT 50"

MEMBER = """
    SELECT t.user_id, m.role FROM tokens t JOIN memberships m ON m.user_id = t.user_id AND m.workspace_id = $2
    WHERE t.token_hash = $1 AND (t.expires_at IS NULL OR t.expires_at > now())"""

CREWS = f"{_CREW} {_NEWEST}"
CREW = f"{_CREW} AND c.id = $2"
NAMED_CREWS = f"SELECT id, name, slug FROM crews WHERE workspace_id = $1 AND deleted_at IS NULL {_NEWEST}"
NAMED_CREW = "SELECT id, name, slug FROM crews WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL"
AGENTS_OF = (
    "SELECT crew_id, id, name, status FROM agents"
    " WHERE crew_id = ANY ($1) AND deleted_at IS NULL ORDER BY created_at, id"
)

NEXT_NUMBER = (
    "UPDATE crews SET issue_counter = issue_counter + 1"
    " WHERE id = $1 AND workspace_id = $2 RETURNING issue_prefix, issue_counter"
)
INSERT_ISSUE = """
    INSERT INTO issues (id, workspace_id, crew_id, number, identifier, title, description, status, priority, created_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7, 'BACKLOG', $8, $9) RETURNING *"""
INSERT_AUDIT = (
    "INSERT INTO audit_logs (workspace_id, user_id, action, entity, entity_id, data)"
    " VALUES ($1, $2, 'issue.created', 'issue', $3, $4)"
)
INSERT_EVENT = "INSERT INTO events (workspace_id, type, payload) VALUES ($1, 'issue.created', $2)"

LOCK_CREW = "SELECT version FROM crews WHERE id = $1 AND workspace_id = $2 AND deleted_at IS NULL FOR UPDATE"
UPDATE_CREW = (
    "UPDATE crews SET description = $3, version = version + 1, updated_at = now() WHERE id = $1 AND workspace_id = $2"
)
AUDIT_UPDATE = (
    "INSERT INTO audit_logs (workspace_id, user_id, action, entity, entity_id, data)"
    " VALUES ($1, $2, 'crew.updated', 'crew', $3, $4)"
)
TELL_UPDATE = "INSERT INTO events (workspace_id, type, payload) VALUES ($1, 'crew.updated', $2)"

# The same answers, written by PostgreSQL as JSON text.
CREWS_JSON = f"SELECT coalesce(json_agg(row_to_json(x)), '[]') FROM ({CREWS}) x"
CREW_JSON = f"SELECT row_to_json(x) FROM ({CREW}) x"
GRAPHQL_CREWS_JSON = f"""
    SELECT json_build_object('data', json_build_object('crews', coalesce(json_agg(json_build_object(
        'id', c.id, 'name', c.name, 'slug', c.slug, 'agents',
        (SELECT coalesce(json_agg(json_build_object('id', a.id, 'name', a.name, 'status', a.status)
            ORDER BY a.created_at, a.id), '[]')
         FROM agents a WHERE a.crew_id = c.id AND a.deleted_at IS NULL))), '[]')))
    FROM ({NAMED_CREWS}) c"""
GRAPHQL_CREW_JSON = f"SELECT json_build_object('data', json_build_object('crew', row_to_json(x))) FROM ({NAMED_CREW}) x"
GRAPHQL_ROOTS_JSON = f"""
    SELECT json_build_object('data', json_build_object({", ".join(f"'c{n}', row_to_json(x)" for n in range(8))}))
        FROM ({NAMED_CREW}) x"""
CREATE_ISSUE_JSON = """
    WITH numbered AS (
        UPDATE crews SET issue_counter = issue_counter + 1 WHERE id = $3 AND workspace_id = $2
        RETURNING issue_prefix prefix, issue_counter number),
    created AS (
        INSERT INTO issues
            (id, workspace_id, crew_id, number, identifier, title, description, status, priority, created_by)
        SELECT $1, $2, $3, number, prefix || '-' || number, $4, $5, 'BACKLOG', $6, $7 FROM numbered RETURNING *),
    audited AS (
        INSERT INTO audit_logs (workspace_id, user_id, action, entity, entity_id, data)
        SELECT $2, $7, 'issue.created', 'issue', id, json_build_object('identifier', identifier) FROM created),
    told AS (
        INSERT INTO events (workspace_id, type, payload)
        SELECT $2, 'issue.created', json_build_object('id', id, 'crew_id', crew_id, 'identifier', identifier)
            FROM created)
    SELECT row_to_json(created) FROM created"""
UPDATE_CREW_JSON = f"""
    WITH changed AS (
        UPDATE crews SET description = $3, version = version + 1, updated_at = now()
        WHERE id = $1 AND workspace_id = $2 AND deleted_at IS NULL RETURNING *),
    audited AS (
        INSERT INTO audit_logs (workspace_id, user_id, action, entity, entity_id, data)
        SELECT $2, $4, 'crew.updated', 'crew', id, '{{"fields": ["description"]}}' FROM changed),
    told AS (
        INSERT INTO events (workspace_id, type, payload)
        SELECT $2, 'crew.updated', json_build_object('id', id, 'name', name, 'slug', slug) FROM changed)
    SELECT row_to_json(x) FROM (SELECT {", ".join("c." + name for name in COLUMNS)},
        (SELECT count(*) FROM agents a WHERE a.crew_id = c.id AND a.deleted_at IS NULL) agents,
        (SELECT count(*) FROM crew_members m WHERE m.crew_id = c.id) members FROM changed c) x"""
