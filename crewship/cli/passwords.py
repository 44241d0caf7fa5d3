"""The operator's help for a user who has forgotten a password and cannot be mailed a link."""

from crewship.cli.passkeys import NoSuchUser
from models.base import new_id
from models.people.auth import is_service_account
from resolvers.instance.passwords import Passwords
from resolvers.kernel.store.connection import connect

EVERYTHING = {"crewship.workspaces": "*"}
PERSON = "SELECT id FROM users WHERE email = $1 FOR UPDATE"
SET = """
    UPDATE users SET password_hash = $2, failed_login_count = 0, locked_until = NULL, updated_at = now() WHERE id = $1
"""
SESSIONS = """
    WITH ended AS (
        UPDATE sessions SET revoked_at = now(), revoked_reason = 'password_change'
        WHERE user_id = $1 AND revoked_at IS NULL RETURNING expires_at
    )
    SELECT count(*) FILTER (WHERE expires_at > now()) FROM ended
"""
PAIRINGS = "DELETE FROM pairings WHERE user_id = $1 AND consumed_at IS NULL"
LINKS = "UPDATE password_resets SET expires_at = now() WHERE user_id = $1 AND used_at IS NULL AND expires_at > now()"
WORKSPACES = "SELECT workspace_id FROM memberships WHERE user_id = $1"
AUDIT = """
    INSERT INTO audit_logs (id, workspace_id, actor_type, action, effect, entity_type, entity_id, data, created_at)
    VALUES ($1, $2, 'system', 'user.password_reset', 'updated', 'USER', $3, '{"by": "operator"}', now())
"""


async def reset(owner: str, email: str, password: str) -> int:
    """Sets the password of a user, as the user does by a mailed link; returns the number of ended sessions.

    The actor is no user: the audit rows of the user's workspaces say `system`.
    """
    hashed = await Passwords(threads=1).hash(password)
    connection = await connect(owner, EVERYTHING)
    try:
        async with connection.transaction():
            user_id = await connection.fetchval(PERSON, email)
            if user_id is None or is_service_account(user_id):
                raise NoSuchUser(f"there is no user {email}")
            await connection.execute(SET, user_id, hashed)
            ended: int = await connection.fetchval(SESSIONS, user_id)
            for sql in (PAIRINGS, LINKS):
                await connection.execute(sql, user_id)
            for (workspace_id,) in await connection.fetch(WORKSPACES, user_id):
                await connection.execute(AUDIT, new_id(), workspace_id, user_id)
    finally:
        await connection.close()
    return ended
