"""Decision links: a question to a person outside this server is decided by a link that works once."""

from resolvers.kernel import Domain
from resolvers.oversight.decision_links.deciding import DecisionMade, DecisionQuestion, decide_by_link, show_by_link

DOMAIN = Domain("decision_links", scopes=None)
