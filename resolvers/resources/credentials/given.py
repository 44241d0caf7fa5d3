"""The credentials of an agent's run: values by the name of their variable."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr
from sqlalchemy import func, or_, select
from sqlmodel import col

from models.resources.credentials import (
    AgentCredential,
    Credential,
    CredentialCrew,
    CredentialEvent,
    CredentialEventType,
    CredentialRotation,
    CredentialScope,
    CredentialStatus,
    CredentialType,
    RotationStatus,
)
from models.sealed import Sealed
from resolvers.instance.vault import Unopenable
from resolvers.kernel import NOW, AcrossWorkspaces, across_workspaces, constant, instance, interval, log
from resolvers.kernel.store.across import Everywhere, has_secret
from resolvers.resources.credentials.references import values_of

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
STEERING = frozenset({"PATH", "HOME", "SHELL", "IFS", "ENV", "BASH_ENV", "TERM", "LANG", "PWD"})
"""Names of variables that control how programs run."""
STEERING_BEGINS = (
    "LD_", "BASH_FUNC_", "PYTHON", "NODE_OPTIONS", "PERL", "GIT_SSH", "GIT_EXEC", "GLIBC_", "MALLOC_", "GCONV_",
    "LOCPATH",
)  # fmt: skip
LARGEST = 100_000  # bytes: the kernel takes no longer variable than 128 KiB
GIVEN = ("id", "agent_id", "credential_id", "env_var_name", "priority")
SECRET = ("id", "type", "provider", "status", "value", "secret_ref", "last_used_at")
MOST, MOST_NAMED = 500, 100


@dataclass(frozen=True, slots=True)
class Given:
    """One credential of a run. `variable` is empty where its name is invalid that a program could be given."""

    credential_id: str
    type: str
    provider: str
    variable: str
    value: str = field(repr=False)


def is_variable(name: str) -> bool:
    """Returns true if an environment may have a variable of this name: it has a shell's form, and affects neither shell
    nor loader.
    """
    return VARIABLE.fullmatch(name) is not None and name not in STEERING and not name.startswith(STEERING_BEGINS)


async def given_to(workspace_id: str, agent_id: str) -> list[Given]:
    """The agent's credentials by priority; among equals the least recently used comes first. Each use is added to the
    timeline, once a minute. Credentials that cannot be opened, or that their store does not return, are left out.
    """

    async def find(rows: AcrossWorkspaces) -> list[Any]:
        here = rows.within(workspace_id)
        given, secret = here.table(AgentCredential, *GIVEN).c, here.table(Credential, *SECRET).c
        columns = (secret.id, secret.type, secret.provider, secret.value, secret.secret_ref, given.env_var_name)
        found = await here.report(
            select(*columns)
            .where(*_held(given, secret, agent_id), has_secret(secret.value))
            .order_by(given.priority, secret.last_used_at.nulls_first(), given.id)
            .limit(MOST)
        )
        await note_uses(here, [row["id"] for row in found], agent_id, "run")
        return found

    rows = await across_workspaces(find)
    return [_given(row, value) for row, value in zip(rows, await values_of(rows), strict=True) if value is not None]


async def still_given(
    workspace_id: str, agent_id: str, given: Sequence[Given], *, on_runners: bool = False
) -> list[Given]:
    """The credentials of a run that the agent still holds; credentials that were removed meanwhile are left out.
    `on_runners`: only those that may leave the server for a runner.
    """
    if not given:
        return []
    ids = [each.credential_id for each in given]

    async def find(rows: AcrossWorkspaces) -> list[Any]:
        here = rows.within(workspace_id)
        given, secret = here.table(AgentCredential, *GIVEN).c, here.table(Credential, "id", "status", "on_runners").c
        allowed = (secret.id.in_(ids), secret.on_runners) if on_runners else (secret.id.in_(ids),)
        return await here.report(select(secret.id).where(*_held(given, secret, agent_id), *allowed))

    held = {row["id"] for row in await across_workspaces(find)}
    return [each for each in given if each.credential_id in held]


async def named_for(workspace_id: str, crew_id: str, names: Sequence[str]) -> dict[str, str]:
    """Values of credentials that services of a crew name, as far as the crew sees them and they are good."""

    async def find(rows: AcrossWorkspaces) -> list[Any]:
        here, name = rows.within(workspace_id), col(Credential.name)
        seen = here.table(CredentialCrew, "id", "credential_id", "crew_id").c
        of_crew = select(seen.id).where(seen.credential_id == col(Credential.id), seen.crew_id == crew_id)
        return await here.select(
            Credential,
            name.in_(list(names)),
            col(Credential.status) == constant(CredentialStatus.ACTIVE),
            has_secret(Credential.value),
            or_(col(Credential.scope) != constant(CredentialScope.CREW), of_crew.exists()),
            columns=("id", "name", "value", "secret_ref"),
            order_by=(col(Credential.created_at).desc(), col(Credential.id)),
            limit=MOST_NAMED,
        )

    rows = await across_workspaces(find) if names else []
    found = zip(rows, await values_of(rows), strict=True)
    return {row["name"]: value for row, value in found if value is not None and "\0" not in value}


async def value_before(workspace_id: str, credential_id: str) -> SecretStr | None:
    """The value before the last rotation while it is valid, for runs whose new value is refused. None if the value is
    in another store, because there only the store's token was rotated.
    """

    async def find(rows: AcrossWorkspaces) -> list[Any]:
        here = rows.within(workspace_id)
        rotation, secret = here.table(CredentialRotation).c, here.table(Credential, "id", "secret_ref").c
        return await here.report(
            select(rotation.id, rotation.old_value)
            .where(
                secret.id == rotation.credential_id,
                secret.secret_ref.is_(None),
                rotation.credential_id == credential_id,
                rotation.status == constant(RotationStatus.ACTIVE),
                rotation.expires_at > func.now(),
                has_secret(rotation.old_value),
            )
            .order_by(rotation.rotated_at.desc(), rotation.id.desc())
            .limit(1)
        )

    for row in await across_workspaces(find):
        try:
            old = await instance.vault.open(
                Sealed(row["old_value"]), table=CredentialRotation, column="old_value", row_id=row["id"]
            )
        except Unopenable:
            log.warning("credential cannot be opened", credential_id=credential_id, column="old_value")
        else:
            log.warning(
                "the provider refused a rotated credential; using the previous value", credential_id=credential_id
            )
            return SecretStr(old.reveal())
    return None


async def tell_use(workspace_id: str, agent_id: str | None, ids: Sequence[str], source: str = "run") -> None:
    """On the timelines of credentials that are given otherwise: what MCP servers get."""
    await across_workspaces(lambda rows: note_uses(rows.within(workspace_id), ids, agent_id, source))


async def note_uses(tables: Everywhere, ids: Sequence[str], agent_id: str | None, source: str) -> None:
    """Records the uses of credentials that had none within the last minute."""
    if not ids:
        return
    before = col(Credential.last_used_at)
    used = await tables.update_where(
        Credential,
        col(Credential.id).in_(list(ids)),
        or_(before.is_(None), before < func.now() - interval(seconds=60)),
        including_deleted=True,
        last_used_at=NOW,
    )
    events = list[CredentialEvent]()
    for row in used:
        event = CredentialEvent(
            credential_id=row["id"], event_type=CredentialEventType.USE, agent_id=agent_id, details={"source": source}
        )
        event.workspace_id = row["workspace_id"]
        events.append(event)
    await tables.insert_all(events)


def _held(given: Any, secret: Any, agent_id: str) -> tuple[Any, ...]:
    """The agent's valid credentials."""
    return (
        given.agent_id == agent_id,
        secret.id == given.credential_id,
        secret.status == constant(CredentialStatus.ACTIVE),
    )


def _given(row: Any, value: str) -> Given:
    fits = is_variable(row["env_var_name"]) and "\0" not in value and len(value.encode()) <= LARGEST
    return Given(row["id"], row["type"], row["provider"], row["env_var_name"] if fits else "", value)


def environment(given: Sequence[Given], *, guarded: bool = False) -> dict[str, str]:
    """The variables of a run: among credentials with one name the preferred one.

    `guarded`: no variable contains a SECRET. It is used by the keeper's permission, one command at a time.
    """
    shown = [each for each in given if each.variable and not (guarded and each.type == CredentialType.SECRET.value)]
    return {each.variable: each.value for each in reversed(shown)}
