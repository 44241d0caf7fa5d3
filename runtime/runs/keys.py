"""The port to keys and addresses of model providers. Adapters do not know their source."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from pydantic import SecretStr

from models.resources.credentials import CredentialType
from models.staff.agents import LlmProvider
from resolvers.instance.settings import Settings
from resolvers.resources.credentials.given import Given, still_given, value_before
from resolvers.rules.answering import KEYS, environment_of

OF_LOGIN = "sk-ant-oat"


@dataclass(frozen=True, slots=True)
class ProviderKey:
    """Without `key` the provider asks for none; without `base_url` it is the vendor's own address. `before` finds
    the key that was rotated away and is still valid, if there is one.
    """

    key: SecretStr | None
    base_url: str | None
    before: Callable[[], Awaitable[SecretStr | None]] | None = field(default=None, compare=False)
    still: Callable[[], Awaitable[bool]] | None = field(default=None, compare=False)
    """Returns whether the key may be used now; None for a key that cannot be removed."""


class Keys(Protocol):
    async def find(self, workspace_id: str, provider: LlmProvider) -> ProviderKey | None:
        """None if the workspace has no means of reaching the provider."""


class EnvironmentKeys:
    """The keys in the process's environment, the same for every workspace."""

    def __init__(self, settings: Settings) -> None:
        self._keys = {provider: ProviderKey(*means) for provider, means in environment_of(settings).items()}

    async def find(self, workspace_id: str, provider: LlmProvider) -> ProviderKey | None:
        found = self._keys.get(provider)
        return found if found and (found.key or found.base_url) else None

    def address(self, provider: LlmProvider) -> str | None:
        """The address of the provider, if it is not the vendor's."""
        found = self._keys.get(provider)
        return found.base_url if found else None

    def secrets(self) -> tuple[str, ...]:
        """All keys, as known values for redaction."""
        return tuple(found.key.get_secret_value() for found in self._keys.values() if found.key)


class CredentialKeys:
    """The keys of one run: its agent's own key first, then the environment of the process."""

    def __init__(self, given: Sequence[Given], otherwise: EnvironmentKeys, agent_id: str = "") -> None:
        self._given, self._otherwise, self._agent_id = given, otherwise, agent_id

    async def find(self, workspace_id: str, provider: LlmProvider) -> ProviderKey | None:
        """A token of a login opens the vendor's own programs alone, and is passed over."""
        for each in self._given:
            if each.provider == provider.value and each.type in KEYS and not _of_login(each):
                before = partial(value_before, workspace_id, each.credential_id)
                still = partial(_is_held, workspace_id, self._agent_id, each) if self._agent_id else None
                return ProviderKey(SecretStr(each.value), self._otherwise.address(provider), before, still)
        return await self._otherwise.find(workspace_id, provider)

    def login(self, provider: LlmProvider) -> ProviderKey | None:
        """A login for the vendor's own programs, if the agent has one."""
        for each in self._given:
            if each.provider == provider.value and _of_login(each):
                return ProviderKey(SecretStr(each.value), self._otherwise.address(provider), None)
        return None


async def _is_held(workspace_id: str, agent_id: str, given: Given) -> bool:
    return bool(await still_given(workspace_id, agent_id, [given]))


def _of_login(given: Given) -> bool:
    return given.type == CredentialType.AI_CLI_TOKEN.value or given.value.startswith(OF_LOGIN)
