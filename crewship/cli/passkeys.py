"""The operator's help for a user who has lost every passkey and needs one to sign in."""

from models.connections import open_connection

FORGET = """
    WITH person AS (UPDATE users SET passkey_required = false, updated_at = now() WHERE email = $1 RETURNING id),
    gone AS (DELETE FROM passkeys USING person WHERE passkeys.user_id = person.id RETURNING 1)
    SELECT (SELECT count(*) FROM person) AS people, (SELECT count(*) FROM gone) AS passkeys
"""


class NoSuchUser(Exception):
    """No user has the email, with this letter case."""


async def forget(owner: str, email: str) -> int:
    """Deletes the passkeys of a user, who needs none from here on; returns how many there were."""
    connection = await open_connection(owner)
    try:
        found = await connection.fetchrow(FORGET, email)
    finally:
        await connection.close()
    if found is None or not found["people"]:
        raise NoSuchUser(f"there is no user {email}")
    return int(found["passkeys"])
