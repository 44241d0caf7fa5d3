"""REST: recent activity of agents."""

from resolvers.oversight import activity
from rest_compat.http.table import GET, Wire


class ActivityItemJSON(Wire, of=activity.ActivityItem):
    fields = """
        id type status summary detail from_name from_slug to_name to_slug crew_name crew_slug crew_color created_at
    """
    crew_color: str | None


ROUTES = (GET("/api/v1/activity", activity.list_activity, list[ActivityItemJSON]),)
