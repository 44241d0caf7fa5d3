"""REST: what agents ask each other."""

from resolvers.assignments import standup
from rest_compat.table import GET

ROUTES = (GET("/api/v1/crews/{crewId}/standup", standup.get_standup, standup.Standup),)
