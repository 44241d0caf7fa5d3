"""What a run of an agent is given: the values of its credentials, by name of variable."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from models.base import new_id
from models.resources.credentials import CredentialRotation, CredentialType
from models.sealed import Sealed
from resolvers.kernel import AcrossWorkspaces, Unopenable, across_workspaces, instance, log
from resolvers.resources.credentials.references import values_of

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
STEERING = frozenset({"PATH", "HOME", "SHELL", "IFS", "ENV", "BASH_ENV", "TERM", "LANG", "PWD"})
"""Names that say how programs run, and not what they are given."""
STEERING_BEGINS = (
    "LD_", "BASH_FUNC_", "PYTHON", "NODE_OPTIONS", "PERL", "GIT_SSH", "GIT_EXEC", "GLIBC_", "MALLOC_", "GCONV_",
    "LOCPATH",
)  # fmt: skip
LARGEST = 100_000  # bytes: the kernel takes no longer variable than 128 KiB
MOST = 500
GIVEN = """
    SELECT credentials.id, credentials.type, credentials.provider, credentials.value, credentials.secret_ref,
        given.env_var_name
    FROM agent_credentials AS given
    JOIN credentials ON credentials.workspace_id = given.workspace_id AND credentials.id = given.credential_id
    WHERE given.workspace_id = $1 AND given.agent_id = $2 AND credentials.deleted_at IS NULL
        AND credentials.status = 'ACTIVE' AND credentials.value IS NOT NULL
    ORDER BY given.priority, credentials.last_used_at NULLS FIRST, given.id LIMIT $3
"""
NAMED = """
    SELECT id, name, value, secret_ref FROM credentials
    WHERE workspace_id = $1 AND name = ANY($3::text[]) AND deleted_at IS NULL AND status = 'ACTIVE'
        AND value IS NOT NULL AND (scope <> 'CREW' OR EXISTS (
            SELECT FROM credential_crews AS seen
            WHERE seen.workspace_id = $1 AND seen.credential_id = credentials.id AND seen.crew_id = $2
        ))
    ORDER BY created_at DESC, id LIMIT 100
"""
TAKEN = """
    WITH used AS (
        UPDATE credentials SET last_used_at = now()
        WHERE workspace_id = $1 AND id = ANY($3::text[])
            AND (last_used_at IS NULL OR last_used_at < now() - interval '60 seconds')
        RETURNING id
    )
    INSERT INTO credential_events (id, workspace_id, credential_id, event_type, agent_id, details)
    SELECT made.id, $1, used.id, 'USE', $2, json_build_object('source', $5::text)
    FROM used JOIN unnest($3::text[], $4::text[]) AS made (credential_id, id) ON made.credential_id = used.id
"""
BEFORE = """
    SELECT rotation.id, rotation.old_value
    FROM credential_rotations AS rotation
    JOIN credentials ON credentials.workspace_id = rotation.workspace_id AND credentials.id = rotation.credential_id
    WHERE rotation.workspace_id = $1 AND rotation.credential_id = $2 AND rotation.status = 'ACTIVE'
        AND rotation.expires_at > now() AND rotation.old_value IS NOT NULL AND credentials.secret_ref IS NULL
    ORDER BY rotation.rotated_at DESC, rotation.id DESC LIMIT 1
"""


STILL = """
    SELECT credentials.id FROM agent_credentials AS given
    JOIN credentials ON credentials.workspace_id = given.workspace_id AND credentials.id = given.credential_id
    WHERE given.workspace_id = $1 AND given.agent_id = $2 AND credentials.id = ANY($3::text[])
        AND credentials.deleted_at IS NULL AND credentials.status = 'ACTIVE'
"""


@dataclass(frozen=True, slots=True)
class Given:
    """One credential of a run. `variable` is empty where its name is none that a program could be given."""

    credential_id: str
    type: str
    provider: str
    variable: str
    value: str = field(repr=False)


def is_variable(name: str) -> bool:
    """Whether an environment may have it: a name of a shell's form, which steers neither shell nor loader."""
    return VARIABLE.fullmatch(name) is not None and name not in STEERING and not name.startswith(STEERING_BEGINS)


async def given_to(workspace_id: str, agent_id: str) -> list[Given]:
    """What the agent holds, by priority; among equals what was used longest ago comes first. It is told on the
    timelines, once a minute each. What cannot be opened, or is not given by the store it is in, is left out.
    """

    async def find(rows: AcrossWorkspaces) -> list[Any]:
        found = await rows.fetch(GIVEN, workspace_id, agent_id, MOST)
        await _tell(rows, workspace_id, agent_id, [row["id"] for row in found])
        return found

    rows = await across_workspaces(find)
    return [_given(row, value) for row, value in zip(rows, await values_of(rows), strict=True) if value is not None]


async def still_given(workspace_id: str, agent_id: str, given: Sequence[Given]) -> list[Given]:
    """Those of a run that the agent holds at this moment: what was taken away meanwhile is left out."""
    if not given:
        return []
    ids = [each.credential_id for each in given]

    async def find(rows: AcrossWorkspaces) -> list[Any]:
        return await rows.fetch(STILL, workspace_id, agent_id, ids)

    held = {row["id"] for row in await across_workspaces(find)}
    return [each for each in given if each.credential_id in held]


async def named_for(workspace_id: str, crew_id: str, names: Sequence[str]) -> dict[str, str]:
    """Values of credentials that services of a crew name, as far as the crew sees them and they are good."""

    async def find(rows: AcrossWorkspaces) -> list[Any]:
        return await rows.fetch(NAMED, workspace_id, crew_id, list(names))

    rows = await across_workspaces(find) if names else []
    found = zip(rows, await values_of(rows), strict=True)
    return {row["name"]: value for row, value in found if value is not None and "\0" not in value}


async def value_before(workspace_id: str, credential_id: str) -> SecretStr | None:
    """The value before the last rotation, while it is still good: for who is refused with the new one. None of a value
    that is kept in another store, where only what opens that store was rotated.
    """

    async def find(rows: AcrossWorkspaces) -> list[Any]:
        return await rows.fetch(BEFORE, workspace_id, credential_id)

    for row in await across_workspaces(find):
        try:
            old = await instance.vault.open(
                Sealed(row["old_value"]), table=CredentialRotation, column="old_value", row_id=row["id"]
            )
        except Unopenable:
            log.warning("credential cannot be opened", credential_id=credential_id, column="old_value")
        else:
            log.warning("new value of a credential was refused: the one before is used", credential_id=credential_id)
            return SecretStr(old.reveal())
    return None


async def tell_use(workspace_id: str, agent_id: str | None, ids: Sequence[str], source: str = "run") -> None:
    """On the timelines of credentials that are given otherwise: what MCP servers get."""
    await across_workspaces(lambda rows: _tell(rows, workspace_id, agent_id, ids, source))


async def _tell(
    rows: AcrossWorkspaces, workspace_id: str, agent_id: str | None, ids: Sequence[str], source: str = "run"
) -> None:
    if ids:
        await rows.fetch(TAKEN, workspace_id, agent_id, list(ids), [new_id() for _ in ids], source)


def _given(row: Any, value: str) -> Given:
    fits = is_variable(row["env_var_name"]) and "\0" not in value and len(value.encode()) <= LARGEST
    return Given(row["id"], row["type"], row["provider"], row["env_var_name"] if fits else "", value)


def environment(given: Sequence[Given], *, guarded: bool = False) -> dict[str, str]:
    """The variables of a run: of those of one name the preferred one.

    `guarded`: a SECRET is in none of them. It is used by leave of the keeper, a command at a time.
    """
    shown = [each for each in given if each.variable and not (guarded and each.type == CredentialType.SECRET.value)]
    return {each.variable: each.value for each in reversed(shown)}
