"""GraphQL: slash commands."""

import strawberry

from resolvers.oversight import slash_commands as slash_command_ops
from schema.bridge.fields import output, query


@output(slash_command_ops.FormField)
class FormFieldType:
    """A field of a form. `required` and `default` are null if they are not set."""

    name: str
    type: str
    required: bool | None
    default: str | None


@output(slash_command_ops.SlashCommand)
class SlashCommandType:
    """An action of the chat, and the form to fill in for it. `capability` is its name, such as `issue.create`."""

    id: strawberry.ID
    label: str
    label_cs: str
    icon: str
    capability: str
    form_schema: list[FormFieldType]


@strawberry.type
class SlashCommandQuery:
    slash_commands = query(slash_command_ops.list_slash_commands, SlashCommandType)
