"""A crew's `devcontainer_config`: the supported part of devcontainer.json, as JSON text without comments."""

import re
from typing import Annotated, Any, Final

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, TypeAdapter
from pydantic_core import PydanticCustomError

from models.bounds import ENTRIES
from resolvers.rules.config_text import check_size, parse_object, shaped

FIELD: Final = "devcontainer_config"
MAX_BYTES: Final = 102_400

COMMON_UTILS: Final = "ghcr.io/devcontainers/features/common-utils"
COMMON_UTILS_DEFAULT: Final[tuple[str, dict[str, str]]] = (
    f"{COMMON_UTILS}:2",
    {
        "username": "agent",
        "uid": "1001",
        "gid": "1001",
        "installZsh": "false",
        "upgradePackages": "false",
        "configureZshAsDefaultShell": "false",
    },
)
"""The feature that makes the user which agents run as; option values are strings."""

_FEATURE_REF = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]+)?(?:/[A-Za-z0-9][A-Za-z0-9._-]*)+(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})"
)
_TOOLS = {
    "common-utils": "git",
    "github-cli": "gh",
    "aws-cli": "aws",
    "azure-cli": "az",
    "google-cloud-cli": "gcloud",
    "gcloud-cli": "gcloud",
    "kubectl-helm-minikube": "kubectl",
    "docker-in-docker": "docker",
    "docker-outside-of-docker": "docker",
    "nodejs": "node",
    "golang": "go",
}


def _image(value: str) -> str:
    if not value:
        raise PydanticCustomError("image", "is required")
    if any(c.isspace() for c in value):
        raise PydanticCustomError("image", "must not contain whitespace")
    return value


def _feature_ref(value: str) -> str:
    if not _FEATURE_REF.fullmatch(value):
        raise PydanticCustomError(
            "feature", "must be a reference registry/repository:tag or registry/repository@sha256:digest"
        )
    return value


def _remote_user(value: str | None) -> str | None:
    if value not in (None, "", "agent", "1001"):
        raise PydanticCustomError("user", "must be agent or 1001")
    return value or None


def _lifecycle(value: Any) -> Any:
    strings = value if isinstance(value, list) else value.values() if isinstance(value, dict) else (value,)
    if value is not None and not all(isinstance(s, str) for s in strings):
        raise PydanticCustomError("command", "must be a string, a list of strings or an object of strings")
    return value


Lifecycle = Annotated[str | list[str] | dict[str, str] | None, PlainValidator(_lifecycle)]


class Devcontainer(BaseModel):
    """The stored parts of a devcontainer.json. Options of a feature are passed on unchanged, in any JSON form."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", defer_build=True)

    image: Annotated[str, AfterValidator(_image)]
    features: Annotated[dict[Annotated[str, AfterValidator(_feature_ref)], Any], Field(max_length=100)] | None = None
    post_create_command: Lifecycle = Field(default=None, alias="postCreateCommand")
    post_start_command: Lifecycle = Field(default=None, alias="postStartCommand")
    container_env: Annotated[dict[str, str], Field(max_length=ENTRIES)] | None = Field(
        default=None, alias="containerEnv"
    )
    remote_user: Annotated[str | None, AfterValidator(_remote_user)] = Field(default=None, alias="remoteUser")

    @property
    def needs_image(self) -> bool:
        """True if an image has to be built before a container starts; a post-start command runs in the container."""
        return bool(self.features or self.post_create_command)

    def to_json(self) -> str:
        return orjson.dumps(self.model_dump(by_alias=True, exclude_none=True)).decode()


_ADAPTER = TypeAdapter(Devcontainer)


def check_devcontainer_size(text: str) -> None:
    check_size(text, FIELD, MAX_BYTES)


def parse_devcontainer(text: str) -> Devcontainer:
    """The stored form or a refusal (contract: crews.create, devcontainer rule). Nulls and unknown keys do not count."""
    check_devcontainer_size(text)
    return shaped(_ADAPTER, parse_object(text, FIELD), FIELD)


def _unversioned(ref: str) -> str:
    path, slash, name = ref.partition("@")[0].rpartition("/")
    return path + slash + name.partition(":")[0]


def normalise_on_create(text: str) -> tuple[str, Devcontainer]:
    """The text to store for a new crew, and its meaning.

    A configuration that declares common-utils is kept to the letter; any other gets it, first in order because most
    features build on it, and becomes re-serialised JSON of the supported keys.
    """
    config = parse_devcontainer(text)
    if any(_unversioned(ref).lower() == COMMON_UTILS for ref in config.features or ()):
        return text, config
    ref, options = COMMON_UTILS_DEFAULT
    config = config.model_copy(update={"features": {ref: dict(options), **(config.features or {})}})
    return config.to_json(), config


def tool_names(config: Devcontainer) -> set[str]:
    """Command-line tools that the features bring: a known feature's command, else the feature's own id."""
    ids = (_unversioned(ref).rpartition("/")[2] for ref in config.features or ())
    return {_TOOLS.get(name, name) for name in ids}
