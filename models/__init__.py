"""Tables, constraints and migrations."""

from models import lean  # noqa: F401 - before the first model
from models.unmapped import unmapped

with unmapped():
    import sqlmodel  # noqa: F401 - before all other imports of it
