"""The read engine: rows x shape -> one SQL text whose answer is JSON.

`rows.py` declares the rows, `graph.py` the values of a row beyond its columns, `shape.py` the requested fields;
`sources.py` finds the rows, and `build.py` joins everything into one SQLAlchemy statement. After that only the text and
the order of its parameters remain.
"""

from resolvers.kernel.reader.graph import (
    EVERYONE,
    GRAPHS,
    Derived,
    Edge,
    Either,
    Subtype,
    Target,
    access_of,
    check_graphs,
    closed,
    confidential,
    count,
    derived,
    edges_in,
    either,
    extend,
    graph,
    many,
    named,
    of_parent,
    one,
    precise,
    reads,
    shown_as,
    sums_up,
    value_type,
    written,
)
from resolvers.kernel.reader.rows import Branch, Page, Read, Row, Rows, View, columns_of
from resolvers.kernel.reader.shape import (
    Beside,
    Column,
    Constant,
    EnvelopeShape,
    InputValue,
    Item,
    Nested,
    Part,
    Shape,
    Withheld,
    edges_of,
    intern,
    readable_by,
    roles_of,
    scopes_of,
)
