"""The license of this instance: the licensee, the limits that it names, and which of them are enforced.

Without a license the instance is the community edition: its limits are shown and never enforced. A limit is enforced
only if the deployer has configured it by a valid license (`CREWSHIP_LICENSE_FILE`, signed for
`CREWSHIP_LICENSE_PUBLIC_KEY`), where each positive limit counts and 0 or less means unlimited, or by a setting
`CREWSHIP_MAX_CREWS`, `CREWSHIP_MAX_AGENTS_PER_CREW` or `CREWSHIP_MAX_MEMBERS`. The lower of the two holds, so a setting
never raises a licensed limit.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from resolvers.errors import Code, Refusal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MAX_FILE_BYTES: Final = 64 * 1024
CLOCK_SKEW: Final = timedelta(hours=1)
"""The most that the issue date of a license may lie in the future."""


class Edition(StrEnum):
    """Edition of the license."""

    community = "community"
    team = "team"
    enterprise = "enterprise"


class Limit(StrEnum):
    """The counted things; the value is the word in refusals. Crews and members are counted per workspace, agents per
    crew.
    """

    crews = "crews"
    agents = "agents"
    members = "members"


COMMUNITY: Final[Mapping[Limit, int]] = {Limit.crews: 15, Limit.agents: 10, Limit.members: 5}


class InvalidLicense(Exception):
    """Why a license does not count; the text is for the log and holds nothing secret."""


class LicenseClaims(BaseModel):
    """The payload of a license file. Times are Unix seconds; `expires_at` 0 means never."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", defer_build=True)

    license_id: str = Field(min_length=1)
    licensee_name: str = ""
    licensee_org: str = ""
    edition: Edition = Field(strict=False)
    max_crews: int
    max_agents_per_crew: int
    max_members: int
    features: tuple[str, ...] = Field(default=(), strict=False)
    issued_at: int
    expires_at: int = Field(default=0, ge=0)

    def check_time(self, now: datetime) -> None:
        seconds = now.timestamp()
        if self.expires_at and seconds >= self.expires_at:
            raise InvalidLicense("the license has expired")
        if self.issued_at > seconds + CLOCK_SKEW.total_seconds():
            raise InvalidLicense("the license was issued in the future")

    def limits(self) -> dict[Limit, int]:
        return {Limit.crews: self.max_crews, Limit.agents: self.max_agents_per_crew, Limit.members: self.max_members}


@dataclass(frozen=True, slots=True)
class LicenseState:
    """The license at a point in time. `limits` are shown; `enforced` is the subset that operations enforce."""

    edition: Edition = Edition.community
    license_id: str = "community"
    licensee_org: str = ""
    features: tuple[str, ...] = ()
    limits: Mapping[Limit, int] = field(default_factory=lambda: dict(COMMUNITY))
    enforced: Mapping[Limit, int] = field(default_factory=dict)

    @property
    def max_crews(self) -> int:
        return self.limits[Limit.crews]

    @property
    def max_agents_per_crew(self) -> int:
        return self.limits[Limit.agents]

    @property
    def max_members(self) -> int:
        return self.limits[Limit.members]

    def refusal(self, limit: Limit, current: int) -> Refusal:
        return Refusal(
            Code.PAYMENT_REQUIRED,
            f"license limit reached: {current}/{self.limits[limit]} {limit} ({self.edition} edition).",
        )

    def check(self, limit: Limit, current: int) -> None:
        """Refuses one more when `current` already stand, if the limit is enforced."""
        most = self.enforced.get(limit)
        if most is not None and current >= most:
            raise self.refusal(limit, current)


@dataclass(frozen=True, slots=True)
class Licensing:
    """The license configured at the start. `problem` is the reason why a named license file does not count; each `at`
    checks the time.
    """

    claims: LicenseClaims | None = None
    settings: Mapping[Limit, int] = field(default_factory=dict)
    problem: str | None = None

    def at(self, now: datetime) -> LicenseState:
        """The license that holds at `now`: an expired one falls back to community; only the settings stay enforced."""
        claims = self.claims
        try:
            if claims:
                claims.check_time(now)
        except InvalidLicense:
            claims = None
        if claims is None:
            return LicenseState(limits={**COMMUNITY, **self.settings}, enforced=dict(self.settings))
        named = claims.limits()
        enforced = {limit: most for limit, most in named.items() if most > 0}
        for limit, most in self.settings.items():
            enforced[limit] = min(most, enforced.get(limit, most))
        return LicenseState(
            claims.edition, claims.license_id, claims.licensee_org, claims.features, {**named, **enforced}, enforced
        )


def parse_public_key(text: str) -> "Ed25519PublicKey":
    """A key as the base64 of its 32 bytes."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text.strip(), validate=True))
    except ValueError:  # of which binascii.Error is one
        raise InvalidLicense("the public key is not the base64 of 32 bytes") from None


def _loads(document: bytes | str) -> dict[str, Any]:
    try:
        value = orjson.loads(document)
    except orjson.JSONDecodeError:
        raise InvalidLicense("the license is not valid JSON") from None
    if not isinstance(value, dict):
        raise InvalidLicense("the license is not a JSON object")
    return value


def verify(document: bytes, key: "Ed25519PublicKey") -> LicenseClaims:
    """The claims of `{"payload": <claims as JSON text>, "signature": <base64 of Ed25519 over the payload>}`; their
    times are not judged here.
    """
    from cryptography.exceptions import InvalidSignature

    parts = _loads(document)
    payload, signature = parts.get("payload"), parts.get("signature")
    if not isinstance(payload, str) or not isinstance(signature, str):
        raise InvalidLicense("the license requires payload and signature as texts")
    try:
        key.verify(base64.b64decode(signature, validate=True), payload.encode())
    except (InvalidSignature, binascii.Error, ValueError):
        raise InvalidLicense("the signature does not match the public key") from None
    try:
        return LicenseClaims.model_validate(_loads(payload))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise InvalidLicense(f"claim {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def read_licensing(
    file: Path | None, public_key: str | None, *, settings: Mapping[Limit, int], now: datetime
) -> Licensing:
    """Read once at start. A file that does not count leaves the community edition, a `problem` to log, and a start.

    `settings` holds the limits that were configured one by one, each at least 1.
    """
    if file is None:
        return Licensing(settings=settings)
    claims: LicenseClaims | None = None
    try:
        if not public_key:
            raise InvalidLicense("no public key is configured")
        with file.open("rb") as opened:
            document = opened.read(MAX_FILE_BYTES + 1)
        if len(document) > MAX_FILE_BYTES:
            raise InvalidLicense(f"the file is larger than {MAX_FILE_BYTES} bytes")
        claims = verify(document, parse_public_key(public_key))
        claims.check_time(now)
    except OSError as error:
        return Licensing(settings=settings, problem=f"the license file cannot be read: {error.strerror}")
    except InvalidLicense as error:
        return Licensing(claims, settings, str(error))
    return Licensing(claims, settings)
