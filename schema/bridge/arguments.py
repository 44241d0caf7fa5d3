"""Arguments and variables of a document: examined once and looked up for every request.

graphql-core resolves the types of variables and the nodes of arguments for each request. Only values without coercion
are handled here: strings, booleans and whole numbers in variables, and literals. graphql-core does the rest.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

from graphql import (
    ArgumentNode,
    FieldNode,
    GraphQLError,
    GraphQLField,
    GraphQLNonNull,
    GraphQLSchema,
    NameNode,
    OperationDefinitionNode,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    get_named_type,
    is_list_type,
    is_non_null_type,
    is_required_argument,
    parse_type,
    visit,
)
from graphql.execution.get_variable_signature import get_variable_signature
from graphql.execution.values import VariableValueSource, get_argument_values, get_variable_values
from pydantic import BaseModel

from resolvers.kernel.ground.inputs import INT32, bare
from schema.bridge.coercion import name_fields
from schema.bridge.errors import MOST_FOUND
from schema.bridge.fields import python_names
from schema.bridge.trees import detach

MISSING: Any = object()
AS_THEY_ARE = (str, int, float, bool, type(None))
MOST_VALUES = 10_000  # of all variables together, as JSON counts them
KINDS: dict[str, type] = {"ID": str, "String": str, "Boolean": bool, "Int": int}
VARIABLE = 500  # bytes of a simple variable
Simple = tuple[str, type, bool, Any, Any]
"""Name, kind, whether it is required, graphql-core's signature, and where it is defined."""


class LookedUp:
    """graphql-core's VariableValues; `sources` are made when it asks for them."""

    __slots__ = ("_signatures", "coerced")

    def __init__(self, coerced: dict[str, Any], signatures: list[Simple]) -> None:
        self.coerced, self._signatures = coerced, signatures

    @property
    def sources(self) -> dict[str, VariableValueSource]:
        coerced = self.coerced
        return {
            name: VariableValueSource(known, coerced[name]) if name in coerced else VariableValueSource(known)
            for name, _, _, known, _ in self._signatures
        }


class Variables:
    """The variables of one operation. Of simple ones their definitions are not kept: they are seldom wrong."""

    __slots__ = ("_core", "_nodes", "_simple", "names", "size")

    def __init__(self, core: GraphQLSchema, operation: OperationDefinitionNode) -> None:
        self._core, nodes = core, operation.variable_definitions or ()
        size = sum([detach(node) for node in nodes])
        self.names = tuple([node.variable.name.value for node in nodes])
        self._simple: list[Simple] | None = []
        for node in nodes:
            signature: Any = get_variable_signature(core, node)
            type_ = getattr(signature, "type", None)
            kind = (
                None
                if type_ is None or node.default_value is not None or _listed(type_)
                else KINDS.get(get_named_type(type_).name)
            )
            if kind is None:
                self._simple = None
                break
            self._simple.append((signature.name, kind, is_non_null_type(type_), signature, node.loc))
        self._nodes = nodes if self._simple is None else ()
        self.size = size if self._simple is None else VARIABLE * len(nodes)
        """Bytes, about."""

    def read(self, inputs: dict[str, Any]) -> Any:
        """VariableValues, or the list of faults."""
        return self._looked_up(inputs) or self._coerced(inputs)

    def _coerced(self, inputs: dict[str, Any]) -> Any:
        if _too_many([inputs.get(name) for name in self.names]):
            return [GraphQLError(f"The variables are too large: at most {MOST_VALUES} values are allowed")]
        nodes = self._nodes or [_definition(signature, place) for *_, signature, place in self._simple or ()]
        values = get_variable_values(self._core, nodes, inputs, max_errors=MOST_FOUND)
        if not isinstance(values, list):
            return values
        signatures: list[Any] = [get_variable_signature(self._core, node) for node in nodes]
        return name_fields(values, {s.name: s.type for s in signatures if hasattr(s, "type")}, inputs)

    def _looked_up(self, inputs: dict[str, Any]) -> LookedUp | None:
        if self._simple is None:
            return None
        coerced = {}
        for name, kind, required, _, _ in self._simple:
            value: Any = inputs.get(name, MISSING)
            if value is MISSING:
                if required:
                    return None
                continue
            if value is None:
                if required:
                    return None
            elif value.__class__ is not kind or (isinstance(value, int) and abs(value) > INT32):
                return None
            coerced[name] = value
        return LookedUp(coerced, self._simple)


def _too_many(values: list[Any]) -> bool:
    """Counts up to the limit only; the reader of the values finds excessive nesting."""
    left = MOST_VALUES
    while values:
        item = values.pop()
        inside = list(item.values()) if isinstance(item, dict) else item if isinstance(item, list) else ()
        left -= len(inside)
        if left < 0:
            return True
        values += inside
    return False


def _definition(signature: Any, place: Any) -> VariableDefinitionNode:
    """The node of a variable without a default, as it was in the document's tree."""
    variable = VariableNode(name=NameNode(value=signature.name))
    return VariableDefinitionNode(
        variable=variable, type=parse_type(str(signature.type)), default_value=None, directives=(), loc=place
    )


def _listed(type_: Any) -> bool:
    return is_list_type(type_.of_type if isinstance(type_, GraphQLNonNull) else type_)


class _Variable(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.found = False

    def enter_variable(self, *_: Any) -> None:
        self.found = True


class Arguments:
    """The arguments of one field of a document. Of its node it keeps only the parts for errors, and those that every
    request reads again.
    """

    __slots__ = ("_definition", "_literals", "_node", "_variables", "size")

    def __init__(self, definition: GraphQLField, node: FieldNode) -> None:
        self._definition = definition
        self._literals: dict[str, Any] = {}
        self._variables: list[tuple[str, str, bool, bool]] | None = []
        self._node: Any = None
        self.size = 0
        """Bytes, about."""
        given = {argument.name.value: argument for argument in node.arguments or ()}
        for name, argument in definition.args.items():
            value = given[name].value if name in given else None
            if isinstance(value, VariableNode):
                self._variables.append(
                    (name, value.name.value, is_required_argument(argument), is_non_null_type(argument.type))
                )
            elif value is not None:
                finder = _Variable()
                visit(value, finder)
                if finder.found:
                    self._variables, self._node = None, self._part(node, given.values())
                    return
        strict = [given[name] for name, _, _, non_null in self._variables if non_null]
        if strict:
            self._node = self._part(node, strict)
        names = {name for name, *_ in self._variables}
        if len(names) < len(given):
            only = self._part(node, [argument for name, argument in given.items() if name not in names])
            optional = {n: a for n, a in definition.args.items() if n not in names}
            self._literals = get_argument_values(GraphQLField(definition.type, optional), only)

    def _part(self, node: FieldNode, arguments: Iterable[ArgumentNode]) -> FieldNode:
        """The field with some of its arguments and no selection. What they take is counted."""
        part = FieldNode(name=node.name, arguments=tuple(arguments), loc=node.loc)
        self.size += detach(part)
        return part

    def literal(self, name: str) -> Any:
        """The value of an argument that the document says itself; None of any other."""
        return self._literals.get(name)

    def read(self, variables: Any) -> dict[str, Any]:
        """Argument name -> value; raises GraphQLError."""
        if self._variables is None:
            return get_argument_values(self._definition, self._node, variables)
        made = dict(self._literals)
        coerced = variables.coerced
        for name, variable, required, non_null in self._variables:
            value = coerced.get(variable, MISSING)
            if value is MISSING:
                if required:
                    self._refuse(name, variables)
                continue
            if value is None and non_null:
                self._refuse(name, variables)
            made[name] = value
        return made

    def _refuse(self, name: str, variables: Any) -> None:
        """Raises graphql-core's error about this argument."""
        get_argument_values(
            GraphQLField(self._definition.type, {name: self._definition.args[name]}), self._node, variables
        )
        raise AssertionError(f"{name} may be that")


@cache
def _names(model: type[BaseModel]) -> dict[str, tuple[str, Any]]:
    return {key: (name, bare(model.model_fields[name].annotation)) for key, name in python_names(model).items()}


def plain(value: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Coerced GraphQL arguments as the raw input of an operation: names of Python, nested inputs too."""
    names, made = _names(model), {}
    for key, item in value.items():
        known = names.get(key)
        if known is not None:
            made[known[0]] = item if item.__class__ in AS_THEY_ARE else _nested(item, known[1])
    return made


def _nested(value: Any, kind: Any) -> Any:
    if isinstance(value, dict) and isinstance(kind, type) and issubclass(kind, BaseModel):
        return plain(value, kind)
    if isinstance(value, list):
        inner = getattr(kind, "__args__", (None,))[0]
        return [_nested(v, bare(inner)) for v in value]
    return value.value if hasattr(value, "value") and hasattr(value, "name") else value
