"""REST: recent activity of agents."""

from resolvers.oversight import activity
from rest_compat.http.table import GET, Wire


class ActivityItemJSON(Wire, of=activity.ActivityItem):
    id: str
    type: activity.ActivityType
    status: str
    summary: str
    detail: str | None
    from_name: str
    from_slug: str
    to_name: str | None
    to_slug: str | None
    crew_name: str
    crew_slug: str
    crew_color: str | None
    created_at: str


ROUTES = (GET("/api/v1/activity", activity.list_activity, list[ActivityItemJSON]),)
