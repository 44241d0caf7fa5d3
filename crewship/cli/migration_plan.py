"""The text of `crewship migrate --plan`."""

import textwrap

from crewship.process.database import Access, StartError, wait_for_database
from models import migrations
from models.migrations.planning import plan


async def planned(access: Access) -> str:
    """Lists what `migrate` would do: missing migrations with their SQL, the tables that they change, and functions."""
    await wait_for_database(access.owner)
    try:
        found = await plan(access.owner)
    except migrations.SchemaError as error:
        raise StartError(str(error)) from None
    if found.revision is None:
        return f"The database is empty: {len(found.migrations)} migrations create the tables of {migrations.head()}."
    if not found.migrations and not found.functions:
        return f"The database is at revision {found.revision}: nothing to do."
    lines = [f"The database is at revision {found.revision}; this release needs {migrations.head()}."]
    for each in found.migrations:
        lines += ["", f"{each.revision}  {each.title}"]
        lines += [f"  changes {name}: about {rows:,} rows, {size}" for name, rows, size in each.tables]
        lines += ["", textwrap.indent(each.statements, "    ")]
    if found.functions:
        lines += ["", f"Functions and triggers are replaced: {', '.join(found.functions)}."]
    return "\n".join(lines)
