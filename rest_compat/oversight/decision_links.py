"""REST: decision links. Both are POST: a token in an address would be in every log on the way."""

from resolvers.oversight import decision_links
from rest_compat.http.table import POST

ROUTES = (
    POST("/api/v1/decision-links/show", decision_links.show_by_link, decision_links.DecisionQuestion),
    POST("/api/v1/decision-links/decide", decision_links.decide_by_link, decision_links.DecisionMade),
)
