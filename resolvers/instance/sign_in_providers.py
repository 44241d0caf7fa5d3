"""Sign-in providers: the OpenID Connect providers that the operator has configured.

They come from the environment alone: the owner of any workspace may change settings over the API, and an editor of
providers could sign in as anyone.
"""

import re
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator

from models.bounds import ENTRIES, LABEL, NAME, URL
from models.people.workspaces import Role

GOOGLE = "google"
GOOGLE_ISSUER = "https://accounts.google.com"
VARIABLE = "CREWSHIP_SIGN_IN_PROVIDERS"
MOST_PROVIDERS = 20
LARGEST_FILE = 1 << 20
LOOPBACK = ("localhost", "127.0.0.1", "::1")

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749, 3.3


class ProvidersError(ValueError):
    """Faults of the configured providers, by their place in the list; without secrets."""


def is_safe_url(text: str, *, plain: bool) -> bool:
    """Returns true if keys and codes can be sent to and requested from this address: TLS, or `plain` and this
    machine.
    """
    try:
        parts = urlsplit(text)
        known = parts.hostname is not None and parts.username is None and not parts.fragment
    except ValueError:
        return False
    if not known or len(text) > URL or not text.isascii():
        return False
    return parts.scheme == "https" or (plain and parts.scheme == "http" and parts.hostname in LOOPBACK)


def _issuer(value: Any) -> Any:
    if not isinstance(value, str) or not is_safe_url(value, plain=True) or urlsplit(value).query:
        raise ValueError("takes an https URL (http only on this machine)")
    return value


def _scopes(value: Any) -> Any:
    scopes = value.split() if isinstance(value, str) else value
    if not isinstance(scopes, list) or not all(isinstance(scope, str) and _SCOPE.fullmatch(scope) for scope in scopes):
        raise ValueError("takes a list of scopes")
    return tuple(dict.fromkeys(["openid", *scopes]))


def _domains(value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(domain, str) and domain for domain in value):
        raise ValueError("takes a list of domains such as example.com")
    return tuple(domain.lower().removeprefix("@") for domain in value)


class SignInProvider(BaseModel):
    """`signup`: whether the provider creates accounts for unknown people; by default CREWSHIP_ALLOW_SIGNUP decides.

    `roles`: the role in `workspace` by group; the highest of several counts. `default_role`: the role of people without
    a listed group.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=50)
    name: str = Field(default="", max_length=NAME)
    issuer: Annotated[str, BeforeValidator(_issuer)] = Field(max_length=LABEL)
    client_id: str = Field(min_length=1, max_length=LABEL)
    client_secret: SecretStr | None = None
    scopes: Annotated[tuple[str, ...], BeforeValidator(_scopes)] = ("openid", "email", "profile")
    allowed_domains: Annotated[tuple[str, ...], BeforeValidator(_domains)] = ()
    signup: bool | None = None
    workspace: str | None = Field(default=None, min_length=1, max_length=LABEL)
    groups_claim: str = Field(default="groups", min_length=1, max_length=LABEL)
    roles: dict[str, Role] = Field(default_factory=dict, max_length=ENTRIES)
    default_role: Role | None = None

    @model_validator(mode="after")
    def _complete(self) -> "SignInProvider":
        if (self.workspace is None) != (not self.roles and self.default_role is None):
            raise ValueError("workspace and roles (or default_role) are required together")
        return self

    @property
    def label(self) -> str:
        """The text of the button."""
        return self.name or self.id.replace("-", " ").title()

    @property
    def path(self) -> str:
        """The common path of both routes, without their last segment. Google has the contract's."""
        return "/api/v1/auth/google" if self.id == GOOGLE else f"/api/v1/auth/oidc/{self.id}"

    @property
    def callback(self) -> str:
        """The redirect path to register with the provider, after the origin of this server."""
        return f"{self.path}/callback"

    @property
    def plain(self) -> bool:
        """Returns true if the provider is called without TLS, because it runs on this machine."""
        return self.issuer.startswith("http:")

    @property
    def gives_roles(self) -> bool:
        return self.workspace is not None

    @property
    def workspace_fact(self) -> str:
        """The name of the fact that keeps which workspace these settings were found to mean."""
        return f"sign_in_workspace {sha256(f'{self.id} {self.workspace}'.encode()).hexdigest()}"

    @property
    def gives_owners(self) -> bool:
        return Role.OWNER in (*self.roles.values(), self.default_role)


@lru_cache(maxsize=8)
def configured(listed: SecretStr | None, google_id: str | None, google_secret: SecretStr | None) -> Any:
    """The providers of these settings; raises ProvidersError. One that is called google takes the place of
    GOOGLE_CLIENT_ID.
    """
    made = [_read(number, entry) for number, entry in enumerate(_listed(listed), 1)]
    if google_id and google_secret and all(provider.id != GOOGLE for provider in made):
        known = {"id": GOOGLE, "name": "Google", "issuer": GOOGLE_ISSUER, "client_id": google_id}
        made.insert(0, SignInProvider.model_validate(known | {"client_secret": google_secret}))
    ids = [provider.id for provider in made]
    if len(set(ids)) < len(ids):
        raise ProvidersError(f"{VARIABLE}: two providers have the same id")
    return tuple(made)


def _listed(text: SecretStr | None) -> list[Any]:
    """The text itself, or the content of the file that it names."""
    given = "" if text is None else text.get_secret_value().strip()
    if given and given[0] != "[":
        try:
            with Path(given).open("rb") as file:
                given = file.read(LARGEST_FILE).decode().strip()
        except (OSError, ValueError):
            raise ProvidersError(f"{VARIABLE} takes a JSON list, or the path of a readable file with one") from None
    try:
        listed = orjson.loads(given) if given else []
    except orjson.JSONDecodeError:
        listed = None
    if not isinstance(listed, list):
        raise ProvidersError(f"{VARIABLE} is not a JSON list")
    if len(listed) > MOST_PROVIDERS:
        raise ProvidersError(f"{VARIABLE}: at most {MOST_PROVIDERS} providers")
    return listed


def _read(number: int, entry: Any) -> SignInProvider:
    try:
        return SignInProvider.model_validate(entry)
    except ValidationError as refused:
        error = refused.errors(include_input=False, include_url=False)[0]
        place = "".join(f" {part}" for part in error["loc"][:1])
        text = error["msg"].removeprefix("Value error, ")
        raise ProvidersError(f"{VARIABLE}: provider {number}:{place}{':' if place else ''} {text}") from None
