"""GraphQL: personas of agents and crews."""

import strawberry

from resolvers.staff import personas as persona_ops
from resolvers.staff.personas.history import PERSONA_VERSION
from schema.bridge.fields import mutation, node, query


@node(persona_ops.Persona)
class PersonaType:
    """The persona of an agent's runs: its own, otherwise its crew's."""

    fields = "agent_id layer from_default content bytes cap_bytes"
    from_default = strawberry.field(description="No persona was written: it is generated from the agent's role.")
    bytes = strawberry.field(description="Length in UTF-8.")
    cap_bytes = strawberry.field(description="The maximum size of a persona.")


@node(persona_ops.CrewPersona)
class CrewPersonaType:
    """The persona of the crew's agents without their own; empty if not set."""

    fields = "crew_id layer content bytes cap_bytes"


@node(PERSONA_VERSION)
class PersonaVersionType:
    """A version of a persona."""

    fields = "id owner_id sha256 bytes written_at writer parent_sha"
    owner_id = strawberry.field(description="The agent or crew.")
    writer = strawberry.field(name="writtenBy", description="A user's id, or `operator`.")
    parent_sha = strawberry.field(description="Digest of the previous version.")


@strawberry.type
class PersonaQuery:
    agent_persona = query(persona_ops.get_persona, PersonaType)
    agent_persona_versions = query(persona_ops.list_persona_versions, PersonaVersionType)
    crew_persona = query(persona_ops.get_crew_persona, CrewPersonaType)


@strawberry.type
class PersonaMutation:
    set_agent_persona = mutation(persona_ops.set_persona)
    delete_agent_persona = mutation(persona_ops.delete_persona)
    suggest_agent_persona = mutation(persona_ops.suggest_persona)
    set_crew_persona = mutation(persona_ops.set_crew_persona)
    delete_crew_persona = mutation(persona_ops.delete_crew_persona)
