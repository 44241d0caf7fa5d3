"""The request of a subscription: its channel or list, its starting position, and the shape of its events."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import orjson
from graphql import GraphQLError, GraphQLField, OperationType, get_named_type

from resolvers.attention.channels import ChannelKind
from resolvers.identity.caller import Caller
from resolvers.kernel.ground.inputs import is_id
from resolvers.kernel.reader import Column, Shape, intern
from resolvers.kernel.reader.shape import weight
from resolvers.live import FROM_NOW, Listening, LiveConnection, Subscription
from resolvers.people.workspaces import get_workspace
from schema.bridge.arguments import Arguments
from schema.bridge.documents import FIELD, Document, Truth
from schema.bridge.endpoint import Endpoint
from schema.bridge.errors import reported
from schema.bridge.selection import BACKREF, Selection
from schema.bridge.trees import Tree
from schema.bridge.worker import Who
from schema.live.fields import CHANNEL, LIST, Source
from schema.live.projection import AskedRow, Chosen, EventRows, Projection, project, with_rows
from schema.live.rows import RowPlan, row_plan

BEGUN = "subscribed"
"""The reason of a StreamReset that only reports the start of a subscription."""
_ID = intern(Shape((Column("id", "id"),)))


class Shown(Protocol):
    """Builds the answers of a subscription to a channel or a list."""

    def answer(self, event: Any, subscription: Any, /) -> bytes | None: ...

    def reset(self, reason: str, cursor: str, /) -> bytes: ...


class Invalid(Exception):
    """The document cannot be run: `errors` as GraphQL clients get them."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__(errors)
        self.errors = errors


@dataclass(frozen=True, slots=True)
class SubscriptionPlan:
    """A document's root field, with the conditions of its selection decided."""

    source: Source
    projection: Projection
    rows: tuple[AskedRow, ...]
    arguments: Arguments

    @property
    def size(self) -> int:
        """Bytes, about."""
        written = sum(FIELD * weight(row.shape) + sum(slot.arguments.size for slot in row.slots) for row in self.rows)
        return FIELD * (4 + self.projection.items) + written + self.arguments.size


@dataclass(frozen=True, slots=True)
class Request:
    """A plan with the values of one request."""

    plan: SubscriptionPlan | RowPlan
    values: Mapping[str, Any]
    variables: Any

    @property
    def shown(self) -> Shown:
        """The projection of the answers; equal for requests that get the same ones. Raises Refusal, or Invalid."""
        if isinstance(self.plan, RowPlan):
            return self.plan.projection
        try:
            whole = with_rows(self.plan.projection, self.plan.rows, self.variables)
        except GraphQLError as error:
            raise Invalid(reported([error])) from None
        types = self.values.get("types")
        return whole if types is None else Chosen(whole, frozenset(str(name).encode() for name in types))

    @property
    def after(self) -> str | None:
        return self.values.get("after")

    async def listen(
        self, live: LiveConnection, encode: Any, after: str | None, same: Hashable, shown: Shown
    ) -> Listening:
        """Raises Refusal when the caller may not listen."""
        plan = self.plan
        if isinstance(plan, RowPlan):
            place = await _workspace_id(live.caller, self.values.get("workspaceId"))
            try:
                question = plan.question(self.variables, place)
            except GraphQLError as error:
                raise Invalid(reported([error])) from None
            return await live.follow(question, encode, after)
        name = await self._channel(live.caller, plan.source)
        rows = None
        if plan.rows:
            whole = shown.projection if isinstance(shown, Chosen) else shown
            assert isinstance(whole, Projection)
            rows = EventRows(whole, any(question.personal for question in whole.questions))
        return await live.subscribe(name, encode, after, same=same, parts=True, rows=rows)

    def opened(self, made: Listening, after: str | None) -> str | None:
        """Goes back in a chat if no cursor gives the position. Returns the reason for which the client receives a
        cursor, if any.
        """
        seq = self.values.get("afterSeq")
        if seq is not None and after in (None, FROM_NOW) and isinstance(made, Subscription):
            made.rewind(seq)
        return BEGUN if after == FROM_NOW else None

    async def _channel(self, caller: Caller, source: Source) -> str:
        """The name of the channel. Raises Refusal when a workspace is named that the caller may not see."""
        kind, argument = source.kind, source.argument
        if kind is ChannelKind.providers:
            return kind
        if argument is None:
            return f"{kind}:{caller.user_id}"
        named = self.values.get(argument)
        return f"{kind}:{await _workspace_id(caller, named) if argument == 'workspaceId' else named}"


async def _workspace_id(caller: Caller, named: str | None) -> str:
    """The workspace by id or slug, as in queries; the connection's own if none is named. The channel checks whether the
    caller may listen.
    """
    place = named or caller.workspace
    if place and is_id(place):
        return place
    answer = await get_workspace(caller, {}, _ID, (), place)
    return str(orjson.loads(answer.body or b"{}")["id"])


async def subscription_of(endpoint: Endpoint, caller: Caller, body: dict[str, Any]) -> Request | None:
    """The subscription of a request; None if it is a query or mutation.

    Raises Invalid and Malformed for a document that cannot be executed, and Refusal if it is not read for this caller.
    """
    who = Who(caller)
    document = endpoint.known(body) or await endpoint.document(caller, body, who)
    if document.errors:
        raise Invalid(reported(document.errors))
    if document.kind is not OperationType.SUBSCRIPTION:
        return None
    try:
        variables: Any = document.values(body["variables"])
        if isinstance(variables, list):
            raise Invalid(reported(variables))
        plan: SubscriptionPlan | RowPlan = endpoint.documents.known_plan(
            document, variables
        ) or await endpoint.documents.plan(document, variables, who, _compiled)
        return Request(plan, plan.arguments.read(variables), variables)
    except GraphQLError as error:
        raise Invalid(reported([error])) from None
    except RecursionError:
        raise Invalid(reported([GraphQLError("The document is nested too deeply")])) from None


def _compiled(document: Document, tree: Tree, truth: Truth) -> SubscriptionPlan | RowPlan:
    selection, root = Selection(document.core, tree.fragments, truth), document.core.subscription_type
    assert root is not None
    [(key, nodes)] = selection.fields(root, [tree.operation]).items()  # validation lets no other pass
    definition: GraphQLField = root.fields[nodes[0].name.value]
    metadata, union = definition.extensions[BACKREF].metadata, cast(Any, get_named_type(definition.type))
    if LIST in metadata:
        return row_plan(selection, metadata[LIST], key, definition, union, nodes)
    source: Source = metadata[CHANNEL]
    projection, rows = project(selection, source.kind, key, union, nodes)
    return SubscriptionPlan(source, projection, rows, Arguments(definition, nodes[0]))
