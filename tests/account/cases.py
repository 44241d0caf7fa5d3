"""Cases of the own account, for the tests that are made for every operation."""

from resolvers.kernel import Code
from tests.generation.recipes import PASSWORD, Recipe

RECIPES = {
    "auth.password_change": Recipe({"current_password": PASSWORD, "new_password": PASSWORD}),
    "auth.account_delete": Recipe({"password": PASSWORD}, refused=Code.CONFLICT),  # the owner has other members
}
PROSE = ("auth.password_change", "auth.account_delete")
"""Whoever knows the password, which the owner has alone."""
