"""Personas: who agents are, in words that their runs begin with, for one agent or for a crew."""

from resolvers.kernel import Domain
from resolvers.staff.personas.history import list_persona_versions
from resolvers.staff.personas.reading import CrewPersona, Persona, get_crew_persona, get_persona
from resolvers.staff.personas.suggesting import PersonaSuggestion, suggest_persona
from resolvers.staff.personas.writing import (
    PersonaWritten,
    delete_crew_persona,
    delete_persona,
    set_crew_persona,
    set_persona,
)

DOMAIN = Domain("personas", scopes="agents")
