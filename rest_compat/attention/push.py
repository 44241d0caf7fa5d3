"""REST: pushes are registered by browsers, in GraphQL alone."""

ROUTES = ()
