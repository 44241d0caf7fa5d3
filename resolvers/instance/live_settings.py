"""Settings that may change while the server runs: what is stored under a field's name goes before the environment.

What is stored was judged when it came in (resolvers/oversight/instance_settings), by this release and this environment.
Another one may have judged: what does not fit here is left out with a line in the log, and the environment's value
holds.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from resolvers.instance.settings import LIVE, Settings, contradiction
from resolvers.instance.telemetry import log

_FIELDS = {name: field for name, field in Settings.model_fields.items() if field.json_schema_extra == LIVE}
_TAKES: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(Annotated[(field.annotation, name, *field.metadata)])  # type: ignore[arg-type]
    for name, field in _FIELDS.items()
}
NAMES = frozenset(_FIELDS)
"""Keys of the instance's settings that have an effect: names of fields of Settings."""


class Unfit(Exception):
    """A stored value that cannot hold; the text says what the setting takes, or what it contradicts."""


def changed(settings: Settings, name: str, text: str) -> Settings:
    """The settings with one of NAMES as `text` says, in the words that the environment takes. Raises Unfit."""
    try:
        value = _TAKES[name].validate_python(text)
    except ValidationError:
        raise Unfit(f"takes {_FIELDS[name].description}") from None
    made = settings.model_copy(update={name: value})
    if (fault := contradiction(made)) is not None:
        raise Unfit(fault)
    return made


def overridden(settings: Settings, stored: Mapping[str, str]) -> Settings:
    """The settings that hold: by name, what is stored, else what the process was started with."""
    for name, text in sorted(stored.items()):
        try:
            settings = changed(settings, name, text)
        except Unfit as unfit:
            log.warning("a stored setting was ignored", setting=name, reason=str(unfit))
    return settings
