"""GraphQL: what agents ask each other."""

from datetime import datetime

import strawberry

from resolvers.assignments import standup
from schema.bridge import output, query


@output(standup.Standup)
class StandupType:
    standup: str
    crew_id: strawberry.ID
    since: datetime


@strawberry.type
class AssignmentQuery:
    crew_standup = query(standup.get_standup, StandupType)
