"""REST: personas of agents and crews."""

from typing import Annotated

from models.staff.memory import MemoryVersion
from resolvers.staff import personas
from resolvers.staff.personas.reading import PersonaLayer
from rest_compat.http.envelopes import Envelope
from rest_compat.http.table import DELETE, GET, POST, PUT, Absent, From, Wire

OF_AGENT, OF_CREW = "/api/v1/agents/{agentId}/persona", "/api/v1/crews/{crewId}/persona"


class PersonaJSON(Wire, of=personas.Persona):
    agent_id: str
    layer: PersonaLayer
    from_default: bool
    content: str
    bytes: int
    cap_bytes: int


class CrewPersonaJSON(Wire, of=personas.CrewPersona):
    crew_id: str
    layer: PersonaLayer
    content: str
    bytes: int
    cap_bytes: int


class PersonaVersionJSON(Wire, of=MemoryVersion):
    id: str
    sha256: str
    bytes: int
    written_at: Annotated[str, From("written_precisely")]
    written_by: Annotated[str, From("writer")]
    parent_sha: Annotated[str | None, Absent()]


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
