"""GraphQL: slash commands."""

import strawberry

from resolvers.oversight import slash_commands as slash_command_ops
from schema.bridge.fields import output, query

output(
    slash_command_ops.FormField,
    description="A field of a form. `required` and `default` are null if they are not set.",
    fields={"type": str},
)
output(
    slash_command_ops.SlashCommand,
    description="An action of the chat, and the form to fill in for it. `capability` is its name, such as "
    "`issue.create`.",
    fields={"capability": str},
)


@strawberry.type
class SlashCommandQuery:
    slash_commands = query(slash_command_ops.list_slash_commands)
