"""The GraphQL schema as clients know it: built from its published text, once in a process."""

from functools import cache
from pathlib import Path

from graphql import GraphQLSchema, build_schema

TEXT = Path(__file__).resolve().parent.parent / "schema" / "schema.graphql"


@cache
def published() -> GraphQLSchema:
    return build_schema(TEXT.read_text())
