"""The license: its signature, its time, its limits, and which of them refuse."""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given

from resolvers.errors import Code, Refusal
from resolvers.instance.license import (
    COMMUNITY,
    MAX_FILE_BYTES,
    Edition,
    InvalidLicense,
    LicenseState,
    Licensing,
    Limit,
    parse_public_key,
    read_licensing,
    verify,
)
from tests.rules.texts import anything, json_values

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SIGNER = Ed25519PrivateKey.generate()
KEY = SIGNER.public_key()
KEY_TEXT = base64.b64encode(KEY.public_bytes_raw()).decode()


def at(moment: datetime) -> int:
    return int(moment.timestamp())


def claims(**changes: Any) -> dict[str, Any]:
    return {
        "license_id": "lic_1",
        "licensee_name": "Ada",
        "licensee_org": "Engines Ltd",
        "edition": "team",
        "max_crews": 20,
        "max_agents_per_crew": 12,
        "max_members": 8,
        "features": ["sso"],
        "issued_at": at(NOW) - 60,
        "expires_at": at(NOW) + 3600,
        **changes,
    }


def signed(payload: Any, signer: Ed25519PrivateKey = SIGNER) -> bytes:
    text = payload if isinstance(payload, str) else orjson.dumps(payload).decode()
    return orjson.dumps({"payload": text, "signature": base64.b64encode(signer.sign(text.encode())).decode()})


def licensing(
    tmp_path: Path, document: bytes, key: str | None = KEY_TEXT, settings: dict[Limit, int] | None = None
) -> Licensing:
    file = tmp_path / "license.json"
    file.write_bytes(document)
    return read_licensing(file, key, settings=settings or {}, now=NOW)


def is_community(license: LicenseState) -> bool:
    return (license.edition, license.license_id, license.licensee_org, license.features, license.limits) == (
        Edition.community,
        "community",
        "",
        (),
        COMMUNITY,
    )


def test_a_valid_license(tmp_path: Path) -> None:
    made = licensing(tmp_path, signed(claims()))
    assert made.problem is None
    assert made.at(NOW) == LicenseState(
        Edition.team,
        "lic_1",
        "Engines Ltd",
        ("sso",),
        {Limit.crews: 20, Limit.agents: 12, Limit.members: 8},
        {Limit.crews: 20, Limit.agents: 12, Limit.members: 8},
    )
    license = made.at(NOW)
    assert (license.max_crews, license.max_agents_per_crew, license.max_members) == (20, 12, 8)


@pytest.mark.parametrize("optional", ["licensee_name", "licensee_org", "features", "expires_at"])
def test_claims_that_may_be_absent(optional: str) -> None:
    payload = claims()
    del payload[optional]
    assert verify(signed(payload), KEY).license_id == "lic_1"


@pytest.mark.parametrize(
    "change",
    [
        {"edition": "platinum"},
        {"edition": 1},
        {"license_id": ""},
        {"license_id": None},
        {"max_crews": "20"},
        {"max_members": 1.5},
        {"max_agents_per_crew": None},
        {"max_crews": True},
        {"issued_at": "now"},
        {"issued_at": None},
        {"expires_at": -1},
        {"expires_at": None},
        {"features": "sso"},
        {"features": [1]},
        {"features": None},
    ],
)
def test_malformed_claims(change: dict[str, Any], tmp_path: Path) -> None:
    made = licensing(tmp_path, signed(claims(**change)))
    assert is_community(made.at(NOW))
    assert made.problem is not None
    assert next(iter(change)) in made.problem


def tampered() -> bytes:
    parts = orjson.loads(signed(claims()))
    parts["payload"] = parts["payload"].replace('"max_crews":20', '"max_crews":99')
    return orjson.dumps(parts)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"{}",
        orjson.dumps({"payload": claims(), "signature": "AA=="}),
        orjson.dumps({"payload": "{}", "signature": None}),
        orjson.dumps({"payload": "{}", "signature": "not base64!"}),
        orjson.dumps({"payload": "{}", "signature": "é"}),
        orjson.dumps({"payload": "{}", "signature": ""}),
        orjson.dumps({"payload": "{}", "signature": base64.b64encode(b"0" * 64).decode()}),
        signed(claims(), Ed25519PrivateKey.generate()),
        tampered(),
        signed("not json"),
        signed("[]"),
        signed("[" * 100_000),
        signed(claims()).ljust(MAX_FILE_BYTES + 1),
        signed(claims()).replace(b'"signature":"', b'"signature":"*'),
    ],
)
def test_a_bad_file_is_community(document: bytes, tmp_path: Path) -> None:
    made = licensing(tmp_path, document)
    assert made.problem
    assert is_community(made.at(NOW))
    assert made.at(NOW).enforced == {}


def test_the_largest_file_and_a_key_with_a_line_end(tmp_path: Path) -> None:
    made = licensing(tmp_path, signed(claims()).ljust(MAX_FILE_BYTES), f" {KEY_TEXT}\n")
    assert made.problem is None
    assert made.at(NOW).edition is Edition.team


@pytest.mark.parametrize(
    "key",
    [None, "", "short", "*" + KEY_TEXT, base64.b64encode(b"0" * 31).decode(), "é", "*" * 44],
    ids=["none", "empty", "short", "one too many", "31 bytes", "not ascii", "not base64"],
)
def test_a_missing_or_bad_key_is_community(key: str | None, tmp_path: Path) -> None:
    made = licensing(tmp_path, signed(claims()), key)
    assert made.problem
    assert "key" in made.problem
    assert is_community(made.at(NOW))


def test_a_file_that_cannot_be_read_is_community(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.json", tmp_path):
        made = read_licensing(path, KEY_TEXT, settings={}, now=NOW)
        assert made.problem
        assert made.problem.startswith("the license file cannot be read: ")
        assert is_community(made.at(NOW))


def test_no_file_is_community_and_no_problem() -> None:
    made = read_licensing(None, None, settings={}, now=NOW)
    assert made.problem is None
    assert is_community(made.at(NOW))


def test_expiry_is_judged_at_every_use(tmp_path: Path) -> None:
    made = licensing(tmp_path, signed(claims()), settings={Limit.members: 3})
    assert made.at(NOW + timedelta(seconds=3599)).edition is Edition.team
    expired = made.at(NOW + timedelta(seconds=3600))
    assert expired.edition is Edition.community
    assert expired.enforced == {Limit.members: 3}
    assert expired.limits == {**COMMUNITY, Limit.members: 3}


def test_a_license_that_has_expired_before_the_start(tmp_path: Path) -> None:
    made = licensing(tmp_path, signed(claims(expires_at=at(NOW))))
    assert made.problem == "the license has expired"
    assert is_community(made.at(NOW))


def test_expires_at_0_is_never(tmp_path: Path) -> None:
    assert licensing(tmp_path, signed(claims(expires_at=0))).at(NOW + timedelta(days=36500)).edition is Edition.team


@pytest.mark.parametrize(("ahead", "edition"), [(3600, Edition.team), (3601, Edition.community)])
def test_issue_in_the_future(ahead: int, edition: Edition, tmp_path: Path) -> None:
    made = licensing(tmp_path, signed(claims(issued_at=at(NOW) + ahead, expires_at=0)))
    assert made.at(NOW).edition is edition
    assert (made.problem is None) is (edition is Edition.team)
    assert made.at(NOW + timedelta(hours=1)).edition is Edition.team


@pytest.mark.parametrize("limit", Limit)
def test_unconfigured_limits_refuse_nobody(limit: Limit) -> None:
    Licensing().at(NOW).check(limit, 10**9)


def test_unlimited_claims_refuse_nobody(tmp_path: Path) -> None:
    license = licensing(tmp_path, signed(claims(max_crews=0, max_members=-1))).at(NOW)
    assert license.enforced == {Limit.agents: 12}
    assert license.max_crews == 0
    license.check(Limit.crews, 10**9)
    license.check(Limit.members, 10**9)


def test_the_refusal(tmp_path: Path) -> None:
    license = licensing(tmp_path, signed(claims())).at(NOW)
    license.check(Limit.crews, 19)
    for limit, current, text in (
        (Limit.crews, 20, "license limit reached: 20/20 crews (team edition)."),
        (Limit.agents, 15, "license limit reached: 15/12 agents (team edition)."),
        (Limit.members, 8, "license limit reached: 8/8 members (team edition)."),
    ):
        with pytest.raises(Refusal) as caught:
            license.check(limit, current)
        assert (caught.value.code, caught.value.detail) == (Code.PAYMENT_REQUIRED, text)


def test_a_setting_alone_is_enforced() -> None:
    license = Licensing(settings={Limit.crews: 2}).at(NOW)
    assert (license.edition, license.max_crews, license.max_members) == (Edition.community, 2, 5)
    license.check(Limit.crews, 1)
    license.check(Limit.members, 100)
    with pytest.raises(Refusal, match=r"^license limit reached: 2/2 crews \(community edition\)\.$"):
        license.check(Limit.crews, 2)


@pytest.mark.parametrize(("setting", "claimed", "most"), [(5, 20, 5), (50, 20, 20), (50, 0, 50)])
def test_of_setting_and_license_the_lower_holds(setting: int, claimed: int, most: int, tmp_path: Path) -> None:
    license = licensing(tmp_path, signed(claims(max_crews=claimed)), settings={Limit.crews: setting}).at(NOW)
    assert license.max_crews == license.enforced[Limit.crews] == most


@given(anything | json_values.map(lambda v: orjson.dumps(v).decode()))
def test_any_signed_payload_gives_claims_or_a_reason(text: str) -> None:
    try:
        payload = signed(text)
    except (TypeError, UnicodeEncodeError):
        payload = text.encode("utf-8", "surrogatepass")
    for document in (payload, text.encode("utf-8", "surrogatepass")):
        with pytest.raises(InvalidLicense):
            verify(document, KEY)


@given(anything)
def test_any_key_text(text: str) -> None:
    with pytest.raises(InvalidLicense):
        parse_public_key(text)
