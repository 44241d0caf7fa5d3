"""A browser with a push subscription, a push service, and a workspace in which something needs attention."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from models.attention.approvals import Approval, ApprovalKind
from models.base import new_id
from models.staff.agents import Agent, AgentRole
from models.staff.crews import Crew
from resolvers.attention.push.encryption import from_text, to_text
from tests.attention.webhook_endpoints.test_webhook_endpoints import Answering, Receiver, status
from tests.world import Person, World

REGISTER = """mutation($ws: ID!, $input: RegisterPushInput!) {
    registerPush(workspaceId: $ws, input: $input) { id label kinds endpoint failures lastError }
}"""
LIST = "query($ws: ID!) { pushSubscriptions(workspaceId: $ws) { id label kinds failures lastError lastSuccessAt } }"
PREPARE = "mutation { preparePush { publicKey } }"
DELETE = "mutation($ws: ID!, $id: ID!) { deletePushSubscription(workspaceId: $ws, input: {id: $id}) { id } }"
TEST = "mutation($ws: ID!, $id: ID!) { testPush(workspaceId: $ws, input: {id: $id}) { success } }"


class Phone:
    """Decrypts as a browser does (RFC 8291), and verifies who has sent (RFC 8292)."""

    def __init__(self) -> None:
        self.key, self.secret = ec.generate_private_key(ec.SECP256R1()), new_id()[:16].encode()

    @property
    def point(self) -> bytes:
        numbers = self.key.public_key().public_numbers()
        return b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")

    @property
    def keys(self) -> dict[str, str]:
        return {"p256dh": to_text(self.point), "auth": to_text(self.secret)}

    def opened(self, body: bytes) -> dict[str, Any]:
        salt, length = body[:16], body[20]
        sender, sealed = body[21 : 21 + length], body[21 + length :]
        shared = self.key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender))
        ikm = HKDF(SHA256(), 32, self.secret, b"WebPush: info\0" + self.point + sender).derive(shared)
        key = HKDF(SHA256(), 16, salt, b"Content-Encoding: aes128gcm\0").derive(ikm)
        nonce = HKDF(SHA256(), 12, salt, b"Content-Encoding: nonce\0").derive(ikm)
        plain = AESGCM(key).decrypt(nonce, sealed, None)
        assert plain.endswith(b"\x02")
        return json.loads(plain[:-1])  # type: ignore[no-any-return]


def claims_of(headers: dict[str, str], public: str) -> dict[str, Any]:
    scheme, _, given = headers["authorization"].partition(" ")
    parts = dict(part.strip().split("=", 1) for part in given.split(","))
    assert (scheme, parts["k"]) == ("vapid", public)
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), from_text(public))
    return jwt.decode(parts["t"], key, algorithms=["ES256"], options={"verify_aud": False})  # type: ignore[no-any-return]


class Service(Receiver):
    """A push service for one phone."""

    def __init__(self, phone: Phone, answer: Answering = lambda _: status(201)) -> None:
        super().__init__(answer)
        self.phone = phone

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What has arrived, whether it was taken or not."""
        return [self.phone.opened(body) for _, body, _ in self.got]


@contextlib.asynccontextmanager
async def subscribed(
    world: World, person: Person, service: Service, label: str = "Phone", **more: Any
) -> AsyncIterator[dict[str, Any]]:
    """The subscription of a person's phone; the service listens meanwhile."""
    async with service.listening() as url:
        yield await register(world, person, service.phone, url, label, **more)


async def register(
    world: World, person: Person, phone: Phone, url: str, label: str = "Phone", **more: Any
) -> dict[str, Any]:
    await world.graphql(person, PREPARE)
    answer = await world.graphql(person, REGISTER, {"input": {"endpoint": url, "label": label, **phone.keys, **more}})
    assert "errors" not in answer, answer
    return answer["data"]["registerPush"]  # type: ignore[no-any-return]


class Deck:
    """A crew whose agent asks for approvals."""

    def __init__(self, world: World) -> None:
        self.world, self.here = world, {"workspace_id": world.workspace.id}
        self.crew = Crew(name="Deck", slug=new_id(), **self.here)
        self.agent = Agent(name="Ada", slug=new_id(), crew_id=self.crew.id, agent_role=AgentRole.LEAD, **self.here)

    async def built(self) -> "Deck":
        await self.world.add(self.crew, self.agent)
        return self

    async def asks(self, reason: str = "May I?") -> str:
        """A pending approval, with its event; returns the entry."""
        row = Approval(kind=ApprovalKind.tool_call, reason=reason, agent_id=self.agent.id, **self.here)
        row.crew_id = self.crew.id
        async with self.world.database.transaction():
            await self.world.add(row)
            await self.happens("approval.created", row.id)
        return f"approval:{row.id}"

    async def happens(self, type: str, id: str, key: str = "id") -> None:
        await self.world.database.execute(
            "INSERT INTO events (workspace_id, channel, type, payload)"
            " VALUES ($1::text, 'workspace:' || $1::text, $2, $3)",
            self.world.workspace.id, type, {key: id},
        )  # fmt: skip

    async def decides(self, entry: str, person: Person | None = None) -> None:
        path = f"/api/v1/approvals/{entry.partition(':')[2]}/decide"
        answer = await self.world.rest(person or self.world.owner, "POST", path, {"status": "approved"})
        assert answer.status_code < 300, answer.text
