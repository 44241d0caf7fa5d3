"""What a subscription's document asks for: which channel, from where on, and how its events are shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from graphql import GraphQLError, GraphQLField, OperationType, get_named_type

from resolvers.channels import ChannelKind
from resolvers.identity.caller import Caller
from resolvers.kernel.inputs import is_id
from resolvers.kernel.reader import Column, Shape, intern
from resolvers.live import FROM_NOW, Subscription
from resolvers.workspaces import get_workspace
from schema.arguments import Arguments
from schema.documents import FIELD, Document, Truth
from schema.endpoint import Endpoint
from schema.errors import reported
from schema.live.fields import CHANNEL, Source
from schema.live.projection import Projection, project
from schema.selection import BACKREF, Selection
from schema.trees import Tree

BEGUN = "subscribed"
"""Reason of a StreamReset that only says where a subscription begins."""
_ID = intern(Shape((Column("id", "id"),)))


class Invalid(Exception):
    """The document cannot be run: `errors` as GraphQL clients get them."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__(errors)
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Plan:
    """A document's root field, with the conditions of its selection decided."""

    source: Source
    projection: Projection
    arguments: Arguments

    @property
    def size(self) -> int:
        """Bytes, about."""
        return FIELD * (4 + self.projection.items) + self.arguments.size


@dataclass(frozen=True, slots=True)
class Request:
    """A plan with the values of one request."""

    plan: Plan
    values: Mapping[str, Any]

    @property
    def after(self) -> str | None:
        return self.values.get("after")

    def opened(self, subscription: Subscription, after: str | None) -> str | None:
        """Goes back in a chat, where no cursor says from where. Returns why the client is told a cursor, if it is."""
        seq = self.values.get("afterSeq")
        if seq is not None and after in (None, FROM_NOW):
            subscription.rewind(seq)
        return BEGUN if after == FROM_NOW else None

    async def channel(self, caller: Caller) -> str:
        """The name of the channel. Raises Refusal when a workspace is named that the caller may not see."""
        kind, argument = self.plan.source.kind, self.plan.source.argument
        if kind is ChannelKind.providers:
            return kind
        if argument is None:
            return f"{kind}:{caller.user_id}"
        named = self.values.get(argument)
        return f"{kind}:{await _workspace_id(caller, named) if argument == 'workspaceId' else named}"


async def _workspace_id(caller: Caller, named: str | None) -> str:
    """By id or slug, as queries take it; the connection's own where none is named. Whether the caller may listen there,
    the channel decides.
    """
    place = named or caller.workspace
    if place and is_id(place):
        return place
    answer = await get_workspace(caller, {}, _ID, (), place)
    return str(orjson.loads(answer.body or b"{}")["id"])


async def subscription_of(endpoint: Endpoint, caller: Caller, body: dict[str, Any]) -> Request | None:
    """What the request subscribes to; None when it is a query or mutation.

    Raises Invalid, Malformed for a document that is not run, and Refusal for one that is not read for this caller.
    """
    document = endpoint.known(body) or await endpoint.document(caller, body)
    if document.errors:
        raise Invalid(reported(document.errors))
    if document.kind is not OperationType.SUBSCRIPTION:
        return None
    try:
        variables: Any = document.values(body["variables"])
        if isinstance(variables, list):
            raise Invalid(reported(variables))
        plan: Plan = endpoint.documents.known_plan(document, variables) or await endpoint.documents.plan(
            document, variables, _compiled
        )
        return Request(plan, plan.arguments.read(variables))
    except GraphQLError as error:
        raise Invalid(reported([error])) from None
    except RecursionError:
        raise Invalid(reported([GraphQLError("The document is nested too deeply")])) from None


def _compiled(document: Document, tree: Tree, truth: Truth) -> Plan:
    selection, root = Selection(document.core, tree.fragments, truth), document.core.subscription_type
    assert root is not None
    [(key, nodes)] = selection.fields(root, [tree.operation]).items()  # validation lets no other pass
    definition: GraphQLField = root.fields[nodes[0].name.value]
    source: Source = definition.extensions[BACKREF].metadata[CHANNEL]
    union: Any = get_named_type(definition.type)
    return Plan(source, project(selection, source.kind, key, union, nodes), Arguments(definition, nodes[0]))
