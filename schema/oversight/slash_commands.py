"""GraphQL: slash commands."""

import strawberry

from resolvers.oversight import slash_commands as slash_command_ops
from schema.bridge.fields import output, query

output(slash_command_ops.FormField, fields={"type": str})
output(slash_command_ops.SlashCommand, fields={"capability": str})


@strawberry.type
class SlashCommandQuery:
    slash_commands = query(slash_command_ops.list_slash_commands)
