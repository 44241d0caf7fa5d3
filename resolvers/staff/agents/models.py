"""The models of a provider: its own list, requested with the workspace's key (contract: models.list).

A process caches a list for a while, by the key that requested it; concurrent callers share one request. Failures are
cached for a shorter time, so that a provider that is down is not called with every opened form.
"""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from time import monotonic
from typing import Annotated, Any, Final, NamedTuple

from pydantic import BeforeValidator

from models.bounds import LINE, cut
from resolvers.instance.outbound import Policy
from resolvers.kernel import Absent, Action, Code, Context, Input, Kept, Output, Refusal, instance, procedure
from resolvers.resources.credentials.keys import credential_of, opened_key
from resolvers.rules.model_catalog import CURATED, ModelProvider

PATIENCE: Final = 8.0  # seconds for a provider
LARGEST: Final = 1 << 20
MOST_MODELS: Final = 1000
FRESH, FAILED, LOCAL = 300.0, 30.0, 5.0
"""Seconds for which a list is kept, the failure to get one, and either from a server of the operator's own."""
DAEMON: Final = "http://localhost:11434"
UNREACHED: Final = "The Ollama server did not return its models"


class ModelSource(StrEnum):
    """The source of the list: the provider, or this release."""

    live = "live"
    curated = "curated"


class ModelInfo(Output):
    """A model for agents: `id` is the value for the model of an agent; `provider` is in lower case."""

    id: str
    display_name: Annotated[str | None, Absent()] = None
    provider: str

    @property
    def model(self) -> str:
        return self.id


class ModelList(Output):
    """`live`: the provider's answer. `curated`: the list of this release, if the provider was not asked or did not
    answer.
    """

    provider: ModelProvider
    source: ModelSource
    models: list[ModelInfo]


class ModelsOfProvider(Input):
    """A provider of models, in any case."""

    provider: Annotated[ModelProvider, BeforeValidator(lambda raw: raw.upper() if isinstance(raw, str) else raw)]


class ModelsRequest(NamedTuple):
    """The address of a list of models, and the request for it."""

    url: str
    headers: dict[str, str] = {}


class Offered(NamedTuple):
    """A model as its provider has it."""

    id: str
    display_name: str | None = None


Found = tuple[Offered, ...] | None
"""None: the provider did not answer, or its answer has no list."""


def _anthropic(address: str, key: str) -> ModelsRequest:
    return ModelsRequest(
        f"{address}/v1/models?limit={MOST_MODELS}", {"x-api-key": key, "anthropic-version": "2023-06-01"}
    )


def _openai(address: str, key: str) -> ModelsRequest:
    return ModelsRequest(f"{address}/models", {"authorization": f"Bearer {key}"} if key else {})


def _google(address: str, key: str) -> ModelsRequest:
    """The key is in a header, because servers on the way log URLs."""
    return ModelsRequest(f"{address}/v1beta/models?pageSize={MOST_MODELS}", {"x-goog-api-key": key})


def _ollama(address: str, key: str) -> ModelsRequest:
    return ModelsRequest(f"{address.removesuffix('/v1')}/api/tags")


def _named(said: Any) -> list[Offered]:
    return [Offered(each["id"], each.get("display_name")) for each in said["data"]]


def _generating(said: Any) -> list[Offered]:
    """The models that generate text; others embed or draw."""
    ways = "supportedGenerationMethods"
    able = [each for each in said["models"] if "generateContent" in each.get(ways, ["generateContent"])]
    return [Offered(each["name"].removeprefix("models/"), each.get("displayName")) for each in able]


def _pulled(said: Any) -> list[Offered]:
    return [Offered(each["name"]) for each in said["models"]]


@dataclass(frozen=True, slots=True)
class Catalog:
    """A provider's list: how to request it, and how to read the answer, which may contain anything."""

    address: str
    asked: Callable[[str, str], ModelsRequest]
    read: Callable[[Any], list[Offered]]
    fresh: float = FRESH
    failed: float = FAILED


CATALOGS: Final = {
    ModelProvider.ANTHROPIC: Catalog("https://api.anthropic.com", _anthropic, _named),
    ModelProvider.OPENAI: Catalog("https://api.openai.com/v1", _openai, _named),
    ModelProvider.GOOGLE: Catalog("https://generativelanguage.googleapis.com", _google, _generating),
    ModelProvider.OLLAMA: Catalog(DAEMON, _ollama, _pulled, fresh=LOCAL, failed=0.0),
}
BASE_URLS: Final = {
    ModelProvider.ANTHROPIC: "anthropic_base_url",
    ModelProvider.OPENAI: "openai_base_url",
    ModelProvider.GOOGLE: "gemini_base_url",
}


def is_another_server(provider: ModelProvider) -> bool:
    """Returns true if the operator has named another server with the provider's API; it has models of its own."""
    own: str | None = getattr(instance.settings, BASE_URLS.get(provider, ""), None)
    return own is not None and own.rstrip("/").removesuffix("/v1") != CATALOGS[provider].address.removesuffix("/v1")


Place = tuple[ModelProvider, str, str, bytes]
"""A provider, its address, and the key: the id of its credential, and a digest of what is sealed there."""


@dataclass
class Lists:
    """The lists of this process: each is asked for once at a time."""

    kept: Kept[Place, tuple[float, Found]] = field(default_factory=lambda: Kept(512, 8 << 20))
    under_way: dict[Place, asyncio.Task[Found]] = field(default_factory=dict)

    async def get(self, place: Place, ask: Callable[[], Any]) -> Found:
        known = self.kept.get(place)
        if known is not None and monotonic() < known[0]:
            return known[1]
        asking = self.under_way.get(place)
        if asking is None:
            asking = self.under_way[place] = asyncio.create_task(self._fill(place, ask))
        return await asyncio.shield(asking)  # who leaves does not take the answer from the others

    async def _fill(self, place: Place, ask: Callable[[], Any]) -> Found:
        catalog = CATALOGS[place[0]]
        try:
            found: Found = await ask()
            size = 500 + sum(len(each.id) + len(each.display_name or "") + 200 for each in found or ())
            until = monotonic() + (catalog.failed if found is None else catalog.fresh)
            self.kept.put(place, (until, found), size)
            return found
        finally:
            self.under_way.pop(place, None)


lists = Lists()


@procedure("models.list", Action.READ, errors=(Code.BAD_GATEWAY,), late=True)
async def list_models(ctx: Context, data: ModelsOfProvider) -> ModelList:
    """List the models of a provider.

    Queries the provider with the workspace's oldest active API key, otherwise with the operator's configuration.
    Without a key, or if the provider does not answer, returns the `curated` list of this release. OLLAMA requires
    no key and has no curated list: BAD_GATEWAY if its server does not answer. Lists are cached for five minutes.
    """
    provider = data.provider
    found = await _found(ctx, provider)
    if found is None:
        curated = CURATED.get(provider)
        if curated is None:
            raise Refusal(Code.BAD_GATEWAY, UNREACHED)
        shown = [ModelInfo(id=each.id, display_name=each.display_name, provider=each.provider) for each in curated]
        return ModelList(provider=provider, source=ModelSource.curated, models=shown)
    whose = provider.value.lower()
    live = [ModelInfo(id=each.id, display_name=each.display_name, provider=whose) for each in found]
    return ModelList(provider=provider, source=ModelSource.live, models=live)


async def _found(ctx: Context, provider: ModelProvider) -> Found:
    settings, catalog = instance.settings, CATALOGS[provider]
    own = getattr(settings, f"{provider.value.lower()}_base_url", None)
    address = (own or catalog.address).rstrip("/")
    credential = None if provider is ModelProvider.OLLAMA else await credential_of(ctx, provider.value)
    key = getattr(settings, f"{provider.value.lower()}_api_key", None)
    if credential is None and key is None and own is None and provider is not ModelProvider.OLLAMA:
        return None
    text = "" if key is None else key.get_secret_value()
    sealed = text.encode() if credential is None else credential.value + (credential.secret_ref or "").encode()
    place = (provider, address, "" if credential is None else credential.id, hashlib.sha256(sealed).digest())

    async def ask() -> Found:
        try:
            value = text if credential is None else (await opened_key(credential)).value.get_secret_value()
            url, headers = catalog.asked(address, value)
            async with ctx.outside.http(Policy.PRIVATE_TOO, timeout=PATIENCE, most=LARGEST) as http:
                answer = await http.get(url, headers=headers)
            return _read(catalog, answer.json()) if answer.status == 200 else None
        except Refusal:
            return None

    return await lists.get(place, ask)


def _read(catalog: Catalog, said: Any) -> Found:
    """A vendor that offers nothing has said nothing; a server of one's own may hold none yet."""
    try:
        read = catalog.read(said)[:MOST_MODELS]
        kept = tuple(
            Offered(each.id, cut(each.display_name, LINE) if isinstance(each.display_name, str) else None)
            for each in read
            if isinstance(each.id, str) and 0 < len(each.id) <= LINE
        )
    except (AttributeError, KeyError, TypeError):
        return None
    return kept if kept or catalog.address == DAEMON else None
