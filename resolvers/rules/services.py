"""A crew's `services_json`: containers that run beside its own, such as a database."""

import re
from enum import StrEnum
from typing import Annotated, Final, TypedDict

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter
from pydantic_core import PydanticCustomError

from models.bounds import ENTRIES
from resolvers.kernel import Refusal, invalid
from resolvers.rules.config_text import check_size, parse_json, shaped
from resolvers.rules.durations import parse_duration

FIELD: Final = "services_json"
MAX_BYTES: Final = 65_536


class ServiceType(StrEnum):
    """The kind of a service, by the name of its image."""

    postgres = "postgres"
    redis = "redis"
    mysql = "mysql"
    mongodb = "mongodb"
    other = "other"


_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_DATASTORES = (
    ("postgres", ServiceType.postgres),
    ("redis", ServiceType.redis),
    ("mysql", ServiceType.mysql),
    ("mariadb", ServiceType.mysql),
    ("mongo", ServiceType.mongodb),
)


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise PydanticCustomError(
            "name", "must be 1-63 lower-case letters, digits and hyphens, begin with a letter and not end with a hyphen"
        )
    return value


def _required(value: str) -> str:
    if not value:
        raise PydanticCustomError("required", "is required")
    return value


def _volume_name(value: str) -> str:
    if value.startswith(("/", ".")):
        raise PydanticCustomError("volume", "must be the name of a volume, not a path of the host")
    return _required(value)


def _duration(value: str | None) -> str | None:
    try:
        length = parse_duration(value) if value else 0
    except ValueError:
        raise PydanticCustomError("duration", "must be a duration such as 5s or 1m30s") from None
    if length < 0:
        raise PydanticCustomError("duration", "must not be negative")
    return value


def _test(value: list[str]) -> list[str]:
    if not value:
        raise PydanticCustomError("test", "must not be empty")
    return value


def _unique_mounts(value: "list[ServiceVolume] | None") -> "list[ServiceVolume] | None":
    mounts = [volume.mount for volume in value or ()]
    if len(set(mounts)) < len(mounts):
        raise PydanticCustomError("mount", "each mount may be used once")
    return value


SEVERAL = Field(max_length=ENTRIES, fail_fast=True)
Required = Annotated[str, AfterValidator(_required)]
Duration = Annotated[str | None, AfterValidator(_duration)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", defer_build=True)


class ServiceVolume(_Part):
    name: Annotated[str, AfterValidator(_volume_name)]
    mount: Required


class ServiceHealthcheck(_Part):
    """Times are Go durations; an empty one counts as absent."""

    test: Annotated[list[str], SEVERAL, AfterValidator(_test)]
    interval: Duration = None
    timeout: Duration = None
    retries: int | None = None
    start_period: Duration = None


class Service(_Part):
    """One container. `env` holds values, `env_refs` names of credentials whose values are added at the start; `ports`
    are `5432` or `5432/tcp`.
    """

    name: Annotated[str, AfterValidator(_name)]
    image: Required
    command: Annotated[list[str], SEVERAL] | None = None
    env: Annotated[dict[str, str], Field(max_length=ENTRIES)] | None = None
    env_refs: Annotated[list[str], SEVERAL] | None = None
    ports: Annotated[list[str], SEVERAL] | None = None
    volumes: Annotated[Annotated[list[ServiceVolume], SEVERAL] | None, AfterValidator(_unique_mounts)] = None
    healthcheck: ServiceHealthcheck | None = None


class Datastore(TypedDict):
    """A service as authors of routines see it: `host` is the service's name, `port` is empty if none is declared."""

    type: str
    name: str
    host: str
    port: str


_ADAPTER = TypeAdapter(Annotated[list[Service], SEVERAL])


def check_services_size(text: str) -> None:
    check_size(text, FIELD, MAX_BYTES)


def parse_services(text: str) -> list[Service]:
    """Declared services or a refusal (contract: crews.create, services rule). Nulls and unknown keys do not count."""
    check_services_size(text)
    value = parse_json(text, FIELD)
    if not isinstance(value, list):
        raise invalid(FIELD, "must be a JSON array")
    services = shaped(_ADAPTER, value, FIELD)
    seen: set[str] = set()
    for service in services:
        if service.name in seen:
            raise invalid(FIELD, f"the name {service.name} is used twice")
        seen.add(service.name)
    return services


def declared_services(text: str | None) -> list[Service]:
    """The services of a stored text; none if it was stored by other rules than today's."""
    try:
        return parse_services(text) if text else []
    except Refusal:
        return []


def type_of_image(image: str) -> ServiceType:
    return next((kind for part, kind in _DATASTORES if part in image.lower()), ServiceType.other)


def datastores(services: list[Service]) -> list[Datastore]:
    """One entry a service, in the declared order; the type is guessed from the image's name."""
    return [
        Datastore(
            type=type_of_image(s.image).value,
            name=s.name,
            host=s.name,
            port=s.ports[0].removesuffix("/tcp") if s.ports else "",
        )
        for s in services
    ]
