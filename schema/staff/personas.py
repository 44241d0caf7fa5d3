"""GraphQL: personas of agents and crews."""

from datetime import datetime

import strawberry

from resolvers.rules.autonomy import PolicyDecision
from resolvers.staff import personas as persona_ops
from resolvers.staff.personas.history import PERSONA_VERSION
from resolvers.staff.personas.reading import PersonaLayer
from schema.bridge.fields import mutation, node, output, query
from schema.bridge.results import DeletedType


@node(persona_ops.Persona)
class PersonaType:
    """The persona of an agent's runs: its own, or else its crew's."""

    agent_id: strawberry.ID
    layer: PersonaLayer
    from_default: bool = strawberry.field(description="No persona was written: it is generated from the agent's role.")
    content: str
    bytes: int = strawberry.field(description="Length in UTF-8.")
    cap_bytes: int = strawberry.field(description="The most that a persona can have.")


@node(persona_ops.CrewPersona)
class CrewPersonaType:
    """The persona of the crew's agents without their own; empty if not set."""

    crew_id: strawberry.ID
    layer: PersonaLayer
    content: str
    bytes: int
    cap_bytes: int


@node(PERSONA_VERSION)
class PersonaVersionType:
    """A persona as it was written."""

    id: strawberry.ID
    owner_id: strawberry.ID | None = strawberry.field(description="The agent or crew.")
    sha256: str
    bytes: int
    written_at: datetime
    writer: str = strawberry.field(name="writtenBy", description="A user's id, or `operator`.")
    parent_sha: str | None = strawberry.field(description="Digest of the version before.")


@output(persona_ops.PersonaWritten)
class PersonaWrittenType:
    layer: PersonaLayer
    bytes: int
    updated: datetime


@output(persona_ops.PersonaSuggestion)
class PersonaSuggestionType:
    agent_id: strawberry.ID
    decision: PolicyDecision
    bytes: int
    rationale: str
    timestamp: datetime
    applied: bool
    pending: bool | None
    reason: str | None
    self_learning_gate: str | None


@strawberry.type
class PersonaQuery:
    agent_persona = query(persona_ops.get_persona, PersonaType)
    agent_persona_versions = query(persona_ops.list_persona_versions, PersonaVersionType)
    crew_persona = query(persona_ops.get_crew_persona, CrewPersonaType)


@strawberry.type
class PersonaMutation:
    set_agent_persona = mutation(persona_ops.set_persona, PersonaWrittenType)
    delete_agent_persona = mutation(persona_ops.delete_persona, DeletedType)
    suggest_agent_persona = mutation(persona_ops.suggest_persona, PersonaSuggestionType)
    set_crew_persona = mutation(persona_ops.set_crew_persona, PersonaWrittenType)
    delete_crew_persona = mutation(persona_ops.delete_crew_persona, DeletedType)
