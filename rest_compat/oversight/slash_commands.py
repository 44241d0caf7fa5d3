"""REST: slash commands."""

from resolvers.oversight import slash_commands
from rest_compat.http.table import GET

ROUTES = (GET("/api/v1/slash-commands", slash_commands.list_slash_commands, list[slash_commands.SlashCommand]),)
