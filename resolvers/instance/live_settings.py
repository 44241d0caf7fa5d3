"""Settings that can change while the server runs: a stored value takes precedence over the environment.

Stored values were validated when they were set (resolvers/oversight/instance_settings), but maybe by another release or
environment. A value that is invalid here is ignored with a log line, and the environment's value applies.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from resolvers.instance.setting_types import LIVE
from resolvers.instance.settings import Settings, contradiction
from resolvers.instance.telemetry import log

_FIELDS = {name: field for name, field in Settings.model_fields.items() if field.json_schema_extra == LIVE}
_TAKES: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(Annotated[(field.annotation, name, *field.metadata)])  # type: ignore[arg-type]
    for name, field in _FIELDS.items()
}
NAMES = frozenset(_FIELDS)
"""Keys of the instance's settings that have an effect: names of fields of Settings."""


class Unfit(Exception):
    """A stored value that is invalid here; the text says what the setting accepts, or the contradiction."""


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
    """The settings in effect: stored values by name, otherwise the values of the start."""
    for name, text in sorted(stored.items()):
        try:
            settings = changed(settings, name, text)
        except Unfit as unfit:
            log.warning("a stored setting was ignored", setting=name, reason=str(unfit))
    return settings
