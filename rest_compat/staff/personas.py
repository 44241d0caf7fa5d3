"""REST: personas of agents and crews."""

from typing import Annotated

from models.staff.memory import MemoryVersion
from resolvers.staff import personas
from rest_compat.http.envelopes import Envelope
from rest_compat.http.table import DELETE, GET, POST, PUT, From, Wire

OF_AGENT, OF_CREW = "/api/v1/agents/{agentId}/persona", "/api/v1/crews/{crewId}/persona"


class PersonaJSON(Wire, of=personas.Persona):
    fields = "agent_id layer from_default content bytes cap_bytes"


class CrewPersonaJSON(Wire, of=personas.CrewPersona):
    fields = "crew_id layer content bytes cap_bytes"


class PersonaVersionJSON(Wire, of=MemoryVersion):
    fields = "id sha256 bytes written_at written_by parent_sha"
    absent = "parent_sha"
    written_at: Annotated[str, From("written_precisely")]
    written_by: Annotated[str, From("writer")]


class PersonaHistoryJSON(Envelope):
    entries: list[PersonaVersionJSON]


ROUTES = (
    GET(OF_AGENT, personas.get_persona, PersonaJSON),
    PUT(OF_AGENT, personas.set_persona, personas.PersonaWritten),
    DELETE(OF_AGENT, personas.delete_persona, status=204),
    GET(f"{OF_AGENT}/history", personas.list_persona_versions, PersonaHistoryJSON),
    POST(f"{OF_AGENT}/suggest", personas.suggest_persona, personas.PersonaSuggestion),
    GET(OF_CREW, personas.get_crew_persona, CrewPersonaJSON),
    PUT(OF_CREW, personas.set_crew_persona, personas.PersonaWritten),
    DELETE(OF_CREW, personas.delete_crew_persona, status=204),
)
