"""The progress of builds and of new containers: step by step, for listeners and in the journal."""

from typing import Annotated, Any

from pydantic import Field

from models.oversight.journal import JournalActor, JournalEntry, Severity
from resolvers.kernel import NO_SURFACE, Action, Context, Id, Input, Int, Text, command
from resolvers.staff.crews.events import ProvisionStep, ProvisionStepReported, StepStatus

PROVISION, PREPARE = "provision", "prepare"
"""The phases: a build of an image, and a container that is made for a command."""


def tell(ctx: Context, crew_id: str, step: ProvisionStep, *, phase: str = PROVISION, **told: Any) -> None:
    """Fields that are None are left out."""
    given = {name: value for name, value in told.items() if value is not None}
    ctx.emit(ProvisionStepReported(crew_id=crew_id, phase=phase, step=step, **given))


def note(ctx: Context, crew_id: str, moment: str, summary: str, **payload: Any) -> None:
    """In the journal: `moment` is the last part of the entry's type."""
    severity = {"building": Severity.info, "step": Severity.info, "failed": Severity.warn}.get(moment, Severity.notice)
    ctx.record(
        JournalEntry(
            entry_type=f"provisioning.{moment}",
            actor_type=JournalActor.orchestrator,
            severity=severity,
            crew_id=crew_id,
            summary=summary,
            payload={"crew_id": crew_id, **payload},
            refs={"crew_id": crew_id},
        )
    )


class ReportedStep(Input):
    """A step in the creation of a container for a crew's command."""

    crew_id: Id
    step: ProvisionStep
    status: StepStatus
    detail: Text | None = None
    error: Text | None = None
    duration_ms: Annotated[Int, Field(ge=0)] | None = None


@command("crews.report_preparation", Action.UPDATE, emits=ProvisionStepReported, surfaces=NO_SURFACE)
async def report_step(ctx: Context, data: ReportedStep) -> None:
    """Record how a container of a crew is made."""
    told = data.model_dump(exclude={"crew_id", "step"})
    tell(ctx, data.crew_id, data.step, phase=PREPARE, **told)
