"""Builds of crews' images: their inputs, and the reported progress (contract: crews.provision).

A build is a background job, and one field of the crew during the build and until the next one.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlmodel import col

from models.base import new_id
from models.bounds import cut
from models.staff.crews import Crew
from resolvers.kernel import Code, Context, Id, Input, Refusal, instance, job
from resolvers.rules.devcontainer import Devcontainer, Lifecycle, parse_devcontainer
from resolvers.rules.mise import Mise, parse_mise
from resolvers.staff.crews.events import (
    ProvisionAdvanced,
    ProvisionCompleted,
    ProvisionFailed,
    ProvisionStartedEvent,
    ProvisionStep,
    ProvisionStepReported,
)
from resolvers.staff.crews.progress import note, tell

CACHE: Final = "crewship-cache"
LIVE: Final = ("pending", "running")
LOG, ERROR = 50, 2000  # lines that are kept, and characters
FULL = "Too many images of this workspace are being built; try again later"
UNDER_WAY = "This crew's image is already being built"
NOTHING = "The crew has no devcontainer_config"
CHANGED = "The configuration changed during the build"
NOT_YET: Final = "The agent's image is being built: send the message again when it is ready"
NOT_NOW: Final = "The agent's image must be built first, which is not possible now"


class OfBuild(Input):
    crew_id: Id
    build_id: Id


BUILD = job(
    "crews.build",
    OfBuild,
    unique="{crew_id}:{build_id}",
    at_once=2,
    attempts=3,
    emits=(ProvisionStartedEvent, ProvisionAdvanced, ProvisionStepReported, ProvisionCompleted, ProvisionFailed),
)


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """The inputs of an image. `features` are references with their options, common-utils first, then by reference."""

    image: str
    features: tuple[tuple[str, Any], ...]
    tools: tuple[tuple[str, str], ...]
    commands: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, crew: Crew) -> "BuildPlan | None":
        """None where nothing is to be baked. Raises Refusal for names that must not reach a shell."""
        devcontainer = parse_devcontainer(crew.devcontainer_config) if crew.devcontainer_config else None
        mise = parse_mise(crew.mise_config) if crew.mise_config else None
        if mise is not None:
            mise.check_names()
        if devcontainer is None or not (devcontainer.needs_image or mise is not None):
            return None
        commands = _commands(devcontainer.post_create_command)
        return cls(devcontainer.image, _features(devcontainer), _tools(mise), commands)

    @property
    def digest(self) -> str:
        told = [self.image, self.features, self.tools, self.commands]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def tag(self) -> str:
        return f"{CACHE}:{self.digest}"

    @property
    def steps(self) -> list[str]:
        """The reported text of each step."""
        made = [f"Pull {self.image}", *(f"Install feature {ref}" for ref, _ in self.features)]
        if self.tools:
            made.append("Install tools with mise")
        if self.commands:
            made.append("Run postCreateCommand")
        return [*made, "Commit the image"]

    def feature_of(self, step: int) -> str | None:
        """The feature that a step installs; steps count from 1, and the first one pulls."""
        return self.features[step - 2][0] if 2 <= step < 2 + len(self.features) else None


def _features(devcontainer: Devcontainer) -> tuple[tuple[str, Any], ...]:
    given = (devcontainer.features or {}).items()
    return tuple(sorted(given, key=lambda one: ("/common-utils" not in one[0], one[0])))


def _tools(mise: Mise | None) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(((mise and mise.tools) or {}).items()))


def _commands(given: Lifecycle) -> tuple[tuple[str, ...], ...]:
    """A text is for a shell, a list is a program with its arguments, an object is several texts."""
    if not given:
        return ()
    if isinstance(given, str):
        return (("/bin/sh", "-c", given),)
    if isinstance(given, dict):
        return tuple(("/bin/sh", "-c", each) for each in given.values())
    return (tuple(given),)


def begun(crew: Crew, now: datetime) -> dict[str, Any] | None:
    """The build that a crew with a changed configuration waits for, if it needs an image of its own and this server can
    build one. The caller enqueues it.
    """
    try:
        needed = instance.containers is not None and BuildPlan.of(crew) is not None
    except Refusal:
        needed = False
    return {"id": new_id(), "status": "pending", "started_at": now.isoformat()} if needed else None


async def start(ctx: Context, crew_id: str, *, rebuild: bool = False) -> None:
    """Begins a build of the crew. `rebuild` forgets the image first, even if the rest is refused."""
    crew = await ctx.get(Crew, crew_id, lock=True, missing="crew not found")
    if rebuild:
        crew = await ctx.update(Crew, crew.id, cached_image=None, config_hash=None, updated_at=await ctx.now())
    if not crew.devcontainer_config:
        raise Refusal(Code.BAD_REQUEST, NOTHING, commit=rebuild)
    if (crew.build or {}).get("status") in LIVE:
        raise Refusal(Code.CONFLICT, UNDER_WAY, extra={"job_status": crew.build["status"]}, commit=rebuild)  # type: ignore[index]
    now = await ctx.now()
    others = [each.build or {} for each in await ctx.select(Crew, col(Crew.build).is_not(None)).all()]
    recent = (now - timedelta(minutes=1)).isoformat()
    lately = sum(each["started_at"] > recent for each in others)
    live, limits = sum(each["status"] in LIVE for each in others), instance.settings
    if live >= limits.builds_at_once or lately >= limits.ratelimit_builds:
        raise Refusal(Code.RATE_LIMITED, FULL, commit=rebuild)
    id = new_id()
    await ctx.update(Crew, crew.id, build={"id": id, "status": "pending", "started_at": now.isoformat()})
    queued(ctx, crew)
    ctx.enqueue(BUILD, crew_id=crew.id, build_id=id)


def waits_for_image(crew: Crew, now: datetime) -> bool:
    """Returns true if agents of the crew need an image and have none yet."""
    return instance.containers is not None and crew.cached_image is None and begun(crew, now) is not None


async def check_built(ctx: Context, crew_id: str | None) -> None:
    """Raises a CONFLICT, with a reason of its own, if agents of the crew have no image yet. If no build is under way it
    begins one, which continues after the refusal. `error`: why the last build failed, or this one could not begin.
    """
    if instance.containers is None or crew_id is None:
        return
    crew = await ctx.select(Crew, col(Crew.id) == crew_id).first()
    if crew is None or not waits_for_image(crew, await ctx.now()):
        return
    build = crew.build or {}
    status, error, why = build.get("status"), build.get("error"), NOT_YET
    if status not in LIVE:
        status = "pending"
        try:
            await start(ctx, crew.id)
        except Refusal as refusal:
            if refusal.code is not Code.CONFLICT:  # else another message has begun it meanwhile
                status, error, why = "failed", refusal.detail, NOT_NOW
    told = {"crew_id": crew.id, "crew_slug": crew.slug, "status": status} | ({"error": error} if error else {})
    raise Refusal(Code.CONFLICT, why, reason="crew_provisioning", extra=told, commit=True)


def queued(ctx: Context, crew: Crew) -> None:
    note(ctx, crew.id, "queued", f"The image of {crew.name} will be built")


async def crew_of(ctx: Context, data: OfBuild) -> Crew | None:
    """None if another build has replaced this one, or it has ended."""
    crew = await ctx.select(Crew, col(Crew.id) == data.crew_id).locked().first()
    build = (crew and crew.build) or {}
    return crew if build.get("id") == data.build_id and build.get("status") in LIVE else None


async def begin(ctx: Context, data: OfBuild, plan: BuildPlan) -> None:
    if (crew := await crew_of(ctx, data)) is not None:
        steps = plan.steps
        await _note(ctx, crew, status="running", steps=steps, log_tail=[])
        note(ctx, crew.id, "building", f"The image of {crew.name} is being built", steps=len(steps))
        ctx.emit(ProvisionStartedEvent(crew_id=crew.id, steps=steps))
        tell(ctx, crew.id, "provision.start", status="started")
        tell(ctx, crew.id, "resolve_features", status="completed", detail=f"{len(plan.features)} features")


async def advance(ctx: Context, data: OfBuild, step: int, plan: BuildPlan, took: int = 0) -> None:
    """`step` counts from 1; `took`: milliseconds of the one before."""
    if (crew := await crew_of(ctx, data)) is not None:
        message, total = plan.steps[step - 1], len(plan.steps)
        told = [*(crew.build or {}).get("log_tail", []), message][-LOG:]
        await _note(ctx, crew, step=step, total=total, message=message, log_tail=told)
        note(ctx, crew.id, "step", message, step=step, total=total)
        ctx.emit(ProvisionAdvanced(crew_id=crew.id, step=step, total=total, message=message))
        if (feature := plan.feature_of(step - 1)) is not None:
            tell(ctx, crew.id, "feature_install", feature=feature, status="completed", duration_ms=took)
        if step == 1:
            tell(ctx, crew.id, "image_build_start", status="started", detail=message)
        if (feature := plan.feature_of(step)) is not None:
            tell(ctx, crew.id, "feature_install", feature=feature, status="started")


async def complete(ctx: Context, data: OfBuild, plan: BuildPlan | None, *, hit: bool = False) -> None:
    """A build of nothing leaves the crew without an image of its own. `hit`: the engine had the image already."""
    if (crew := await crew_of(ctx, data)) is None:
        return
    if plan != BuildPlan.of(crew):
        return await fail(ctx, data, CHANGED)
    tag, digest = ("", "") if plan is None else (plan.tag, plan.digest)
    now = await ctx.now()
    await _note(ctx, crew, status="completed", completed_at=now.isoformat(), image=tag, digest=digest)
    note(ctx, crew.id, "complete", f"The image of {crew.name} is built", cached_image=tag)
    ctx.emit(ProvisionCompleted(crew_id=crew.id, cached_image=tag, config_hash=digest))
    if plan is not None:
        took = (now - datetime.fromisoformat((crew.build or {})["started_at"])).total_seconds()
        step: ProvisionStep = "provision.cache_hit" if hit else "image_build_done"
        tell(ctx, crew.id, step, status="completed", tag=tag, duration_ms=None if hit else max(int(took * 1000), 0))
        tell(ctx, crew.id, "ready", status="completed", tag=tag)


async def fail(ctx: Context, data: OfBuild, why: str) -> None:
    if (crew := await crew_of(ctx, data)) is not None:
        told = cut(why.replace("\0", ""), ERROR)
        await _note(ctx, crew, status="failed", error=told, completed_at=(await ctx.now()).isoformat())
        note(ctx, crew.id, "failed", f"The image of {crew.name} could not be built", error=told)
        ctx.emit(ProvisionFailed(crew_id=crew.id, error=told))
        tell(ctx, crew.id, "provision.failed", status="failed", error=told)


async def _note(ctx: Context, crew: Crew, *, image: str = "", digest: str = "", **told: Any) -> None:
    changes: dict[str, Any] = {"build": {**(crew.build or {}), **told}}
    if image:
        changes |= {"cached_image": image, "config_hash": digest}
    await ctx.update(Crew, crew.id, **changes)
