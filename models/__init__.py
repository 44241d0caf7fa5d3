"""Tables, constraints and migrations."""

from models import lean  # noqa: F401 - before there are models
from models.unmapped import unmapped

with unmapped():
    import sqlmodel  # noqa: F401 - before anybody else imports it
