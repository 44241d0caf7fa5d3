"""Hooks: list, create, update, delete, switch on and off (contract: hooks)."""

import asyncio
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field
from sqlmodel import col

from models.bounds import DESCRIPTION, LINE, URL
from models.oversight.journal import JournalActor, JournalEntry
from models.people.workspaces import Role
from models.staff.crews import Crew
from models.staff.hooks import CONFIGURED, Hook, HookEvent, HookHandler
from resolvers.kernel import (
    ENDS,
    EVERYONE,
    Absent,
    Action,
    Bool,
    ById,
    Code,
    Context,
    Id,
    Input,
    Output,
    Refusal,
    Subject,
    Text,
    at_most,
    command,
    forbidden,
    graph,
    instance,
    invalid,
    procedure,
    within,
)
from resolvers.kernel.declarations.events import Time
from resolvers.rules.patterns import compiled

graph(Hook, gate=Action.READ, scope="workspace:read", visible=EVERYONE)
HOOK = Subject(Hook, "id")
NEWEST_FIRST = (col(Hook.created_at).desc(), col(Hook.id).desc())
NO_CREW: Final = "Crew not found"
MOST_HOOKS: Final = 500
FULL: Final = f"A workspace has at most {MOST_HOOKS} hooks. Delete old ones"
SHELL_IS_OWNERS: Final = "Hooks that run commands require the role OWNER"
DEFAULT_SECONDS: Final = 30
MOST_SECONDS: Final = 3600
SECONDS_OF_CALLS: Final = 300
SECRET: Final = "secret"
MASKED: Final = "********"
MASKED_AT_FIRST: Final = "a new hook requires the secret itself, not its mask"
NEEDED: Final = {HookHandler.http: ("url", URL), HookHandler.shell: ("command", DESCRIPTION)}


def _emptied(raw: Any) -> Any:
    """Blanks mean that nothing is named."""
    return raw.strip() if isinstance(raw, str) else raw


def _or_else(value: Any) -> Any:
    """Null is the default."""
    return BeforeValidator(lambda raw: value() if raw is None else raw)


Pattern = Annotated[str, Field(strict=True, max_length=LINE)]
Patterns = Annotated[list[Pattern], at_most(100)]
Ids = Annotated[list[Id], at_most(100)]
Words = Annotated[list[Text], at_most(100)]
Configuration = Annotated[dict[str, Any], within(CONFIGURED), ENDS]


class HookMatcher(Input):
    """The events that a hook is for: all lists must match, each by one of its entries; an empty matcher matches all.
    `tools` are regular expressions (RE2) that are searched in the name of the tool; one that is none matches nothing.
    `when` is stored and has no effect.
    """

    tools: Patterns | None = None
    agent_ids: Ids | None = None
    crew_ids: Ids | None = None
    severities: Words | None = None
    when: Text | None = None

    def stored(self) -> dict[str, Any]:
        return {name: value for name, value in self.model_dump().items() if value}


class ListHooks(Input):
    """With `crew_id`: the hooks of this crew and of all crews."""

    crew_id: Id = ""


class CreateHook(Input):
    """`handler_config` of an HTTP hook: `url`, `secret`, `timeout_secs` (30 by default, at most 300); of a command:
    `command`, `timeout_secs` (at most an hour). With `fail_closed`, an error blocks as a refusal does. A hook without
    `crew_id` is for all crews.
    """

    event: HookEvent
    handler_kind: HookHandler
    handler_config: Annotated[Configuration, _or_else(dict)] = Field(default_factory=dict)
    matcher: Annotated[HookMatcher, _or_else(dict)] = Field(default_factory=HookMatcher)
    crew_id: Annotated[Id, BeforeValidator(_emptied)] | None = None
    blocking: Annotated[Bool, _or_else(bool)] = False
    enabled: Annotated[Bool, _or_else(lambda: True)] = True


class UpdateHook(ById):
    """A field that is absent or null stays. `matcher` and `handler_config` are replaced as a whole; a `secret` that is
    sent as it is shown stays. An empty `crew_id` means all crews.
    """

    event: HookEvent | None = None
    handler_kind: HookHandler | None = None
    handler_config: Configuration | None = None
    matcher: HookMatcher | None = None
    crew_id: Annotated[Id, BeforeValidator(_emptied)] | None = None
    blocking: Bool | None = None
    enabled: Bool | None = None


class HookView(Output):
    """A hook. A secret of `handler_config` is masked."""

    id: str
    workspace_id: str
    crew_id: Annotated[str | None, Absent()] = None
    event: HookEvent
    handler_kind: HookHandler
    handler_config: Annotated[dict[str, Any] | None, Absent()] = None
    matcher: dict[str, Any]
    enabled: bool
    blocking: bool
    created_by: Annotated[str | None, Absent()] = None
    created_at: Time
    updated_at: Time


class HookList(Output):
    """Hooks, newest first."""

    rows: list[HookView]
    count: int


class HookDeleted(Output):
    """The deleted hook."""

    id: str
    deleted: Literal[True] = True


class HookToggled(Output):
    """The hook, and whether it is on."""

    id: str
    enabled: bool


@procedure("hooks.list", Action.READ, errors=(Code.NOT_FOUND,))
async def list_hooks(ctx: Context, data: ListHooks) -> HookList:
    """List hooks.

    Newest first; ties by id, descending.
    """
    wanted = []
    if data.crew_id:
        await ctx.get(Crew, data.crew_id, missing=NO_CREW)
        wanted = [(col(Hook.crew_id) == data.crew_id) | col(Hook.crew_id).is_(None)]
    rows = await ctx.select(Hook, *wanted).order_by(*NEWEST_FIRST).limit(MOST_HOOKS).all()
    return HookList(rows=[shown(row) for row in rows], count=len(rows))


@command("hooks.create", Action.MANAGE, audit="hook.create", errors=(Code.NOT_FOUND, Code.CONFLICT))
async def create_hook(ctx: Context, data: CreateHook) -> HookView:
    """Create a hook.

    Commands require the role OWNER; they run in the sandbox of the agent, without a network.
    """
    _may_be(ctx, data.handler_kind)
    crew_id = await _crew(ctx, data.crew_id)
    _checked(data.handler_kind, data.handler_config)
    if data.handler_config.get(SECRET) == MASKED:
        raise invalid("handler_config", MASKED_AT_FIRST)
    await ctx.lock(f"hooks of {ctx.workspace_id}")
    if await ctx.select(Hook).count() >= MOST_HOOKS:
        raise Refusal(Code.CONFLICT, FULL)
    made = Hook(
        crew_id=crew_id,
        event=data.event,
        handler_kind=data.handler_kind,
        matcher=data.matcher.stored(),
        enabled=data.enabled,
        blocking=data.blocking,
        created_by=ctx.user_id or None,
    )
    made.handler_config, made.secret = await _sealed(ctx, made.id, data.handler_config)
    _audit(ctx, made)
    made.created_at = made.updated_at = await ctx.now()
    return shown(await ctx.insert(made))


@command("hooks.update", Action.MANAGE, audit="hook.update", subject=HOOK)
async def update_hook(ctx: Context, hook: Hook, data: UpdateHook) -> HookView:
    """Update a hook.

    A hook that runs commands, or is to, requires the role OWNER, unless it becomes another kind.
    """
    kind = data.handler_kind or hook.handler_kind
    _may_be(ctx, kind)
    changes: dict[str, Any] = {"handler_kind": kind}
    changes |= {
        name: getattr(data, name) for name in ("event", "blocking", "enabled") if getattr(data, name) is not None
    }
    if data.crew_id is not None:
        changes["crew_id"] = await _crew(ctx, data.crew_id)
    if data.handler_config is not None:
        _checked(kind, data.handler_config)
        config, secret = await _sealed(ctx, hook.id, data.handler_config)
        same = data.handler_config.get(SECRET) == MASKED
        changes |= {"handler_config": config} | ({} if same else {"secret": secret})
    elif data.handler_kind is not None:
        _checked(kind, hook.handler_config)
    if data.matcher is not None:
        changes["matcher"] = data.matcher.stored()
    changed = await ctx.update(Hook, hook.id, **changes)
    _audit(ctx, changed)
    return shown(changed)


@command("hooks.delete", Action.MANAGE, audit="hook.delete", subject=HOOK)
async def delete_hook(ctx: Context, hook: Hook, data: ById) -> HookDeleted:
    """Delete a hook."""
    await ctx.delete(Hook, hook.id)
    _audit(ctx, hook)
    return HookDeleted(id=hook.id)


@command("hooks.enable", Action.MANAGE, audit="hook.enabled", subject=HOOK)
async def enable_hook(ctx: Context, hook: Hook, data: ById) -> HookToggled:
    """Activate a hook."""
    return await _toggled(ctx, hook, on=True)


@command("hooks.disable", Action.MANAGE, audit="hook.disabled", subject=HOOK)
async def disable_hook(ctx: Context, hook: Hook, data: ById) -> HookToggled:
    """Deactivate a hook."""
    return await _toggled(ctx, hook, on=False)


async def _toggled(ctx: Context, hook: Hook, *, on: bool) -> HookToggled:
    await ctx.update(Hook, hook.id, enabled=on)
    _audit(ctx, hook)
    ctx.record(
        JournalEntry(
            entry_type="system.hook_toggled",
            actor_type=JournalActor.user,
            actor_id=ctx.user_id or None,
            crew_id=hook.crew_id,
            summary=f"hook {hook.id} {'enabled' if on else 'disabled'}",
            payload={"hook_id": hook.id, "event": hook.event, "handler_kind": hook.handler_kind, "enabled": on},
        )
    )
    return HookToggled(id=hook.id, enabled=on)


def _audit(ctx: Context, hook: Hook) -> None:
    ctx.audit("HOOK", hook.id, event=hook.event, handler_kind=hook.handler_kind, crew_id=hook.crew_id or "")


def _may_be(ctx: Context, kind: HookHandler) -> None:
    if kind is HookHandler.shell and ctx.role is not Role.OWNER:
        raise forbidden(SHELL_IS_OWNERS, role=Role.OWNER)


async def _crew(ctx: Context, crew_id: str | None) -> str | None:
    if not crew_id:
        return None
    return (await ctx.get(Crew, crew_id, missing=NO_CREW)).id


def _checked(kind: HookHandler, config: dict[str, Any]) -> None:
    if kind in NEEDED:
        key, most = NEEDED[kind]
        value = config.get(key)
        if not isinstance(value, str) or not value.strip() or len(value) > most or "\0" in value:
            raise invalid("handler_config", f"a hook of the kind {kind} requires {key}, a text of at most {most}")
        if kind is HookHandler.http and not _is_callable(value):
            raise invalid("handler_config", "url has to be http or https with a host")
    most_seconds = SECONDS_OF_CALLS if kind is HookHandler.http else MOST_SECONDS
    seconds = config.get("timeout_secs", DEFAULT_SECONDS)
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 1 <= seconds <= most_seconds:
        raise invalid("handler_config", f"timeout_secs has to be a whole number from 1 to {most_seconds}")
    if not isinstance(config.get("fail_closed", False), bool):
        raise invalid("handler_config", "fail_closed has to be true or false")
    secret = config.get(SECRET, "")
    if not isinstance(secret, str) or len(secret) > LINE:
        raise invalid("handler_config", f"secret has to be a text of at most {LINE}")


def _is_callable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        plain = not any(letter.isspace() for letter in url)
        return plain and parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False


async def _sealed(ctx: Context, id: str, config: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """The configuration without its secret, and the secret, sealed."""
    rest = {name: value for name, value in config.items() if name != SECRET}
    secret = config.get(SECRET)
    if not secret or secret == MASKED:
        return rest, None
    place = ctx.workspace_id
    return rest, await instance.vault.seal(secret, table=Hook, column="secret", row_id=id, workspace_id=place)


def shown(hook: Hook) -> HookView:
    config = dict(hook.handler_config) | ({SECRET: MASKED} if hook.secret is not None else {})
    same = ("id", "workspace_id", "crew_id", "event", "handler_kind", "matcher", "enabled", "blocking", "created_by")
    times = {"created_at": hook.created_at, "updated_at": hook.updated_at}
    return HookView(**{name: getattr(hook, name) for name in same}, handler_config=config or None, **times)


async def finds(patterns: list[str], name: str) -> bool:
    """Returns true if one of the patterns is found in the name."""
    for pattern in patterns:
        made = await asyncio.to_thread(compiled, pattern)
        if made is not None and made.search(name):
            return True
    return False
