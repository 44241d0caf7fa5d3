"""This server: its settings, keys and license, and the ports to the outside. Set at start; live settings change."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from resolvers.instance.clock import Clock
from resolvers.instance.completions import Completions, HttpCompletions
from resolvers.instance.crypto import Signer
from resolvers.instance.license import LicenseState, Licensing
from resolvers.instance.live_settings import overridden
from resolvers.instance.outbound import Outbound
from resolvers.instance.passwords import Passwords
from resolvers.instance.ports import (
    Commands,
    Containers,
    Mailer,
    NoReleases,
    Programs,
    Releases,
    RoutineTrials,
    Terminals,
)
from resolvers.instance.settings import Settings
from resolvers.instance.store import LocalStore, Store
from resolvers.instance.vault import Vault

BOOTSTRAPPED = "bootstrapped"
"""The fact about an instance whose first user was made."""


@dataclass
class Instance:
    clock: Clock = field(default_factory=Clock)
    started: float = field(default_factory=time.monotonic)
    strict: bool = False  # an operation that forgets what it declares fails instead of being logged: on in tests
    bootstrap_token: str | None = None  # the secret of the link that creates the first user
    bootstrap_closes: float | None = None  # monotonic seconds; None: open until the first user
    releases: Releases = field(default_factory=NoReleases)
    mailer: Mailer | None = None  # None: the operator has configured none
    commands: Commands | None = None  # None: agents' commands are not run in this process
    terminals: Terminals | None = None  # None: there are no terminals in this process
    programs: Programs | None = None  # None: no programs are started in this process
    containers: Containers | None = None  # None: no engine is configured
    trials: RoutineTrials | None = None  # None: routines are not tried in this process
    http: type[Outbound] = Outbound
    completions: Completions = field(default_factory=HttpCompletions)
    jobs_failing_since: float | None = None  # monotonic seconds; None: nothing keeps this process from background jobs
    admin_key: bytes | None = None
    _settings: Settings | None = None
    _configured: Settings | None = None  # without what is stored
    _stored: Mapping[str, str] = field(default_factory=dict)
    _watchers: dict[Callable[[Settings], None], None] = field(default_factory=dict)
    _signer: Signer | None = None
    _passwords: Passwords | None = None
    _licensing: Licensing | None = None
    _vault: Vault | None = None
    _store: Store | None = None

    def start(
        self,
        settings: Settings,
        signer: Signer,
        passwords: Passwords,
        licensing: Licensing,
        admin_key: bytes | None,
        vault: Vault,
    ) -> None:
        self._settings, self._signer, self._passwords, self._licensing, self.admin_key = (
            settings,
            signer,
            passwords,
            licensing,
            admin_key,
        )
        self._configured, self._stored = settings, {}
        self._vault, self._store = vault, LocalStore(settings.storage_path)
        self.started = time.monotonic()
        self.bootstrap_closes = None if settings.bootstrap_window is None else self.started + settings.bootstrap_window

    @property
    def settings(self) -> Settings:
        if self._settings is None:
            raise RuntimeError("the instance is not started")
        return self._settings

    @property
    def configured(self) -> Settings:
        """The settings of the start, which apply if no other value is stored."""
        if self._configured is None:
            raise RuntimeError("the instance is not started")
        return self._configured

    def override(self, stored: Mapping[str, str]) -> None:
        """Applies the stored values of live settings, by name; all others keep the values of the start."""
        if stored == self._stored:
            return
        self._stored, self._settings = stored, overridden(self.configured, stored)
        for watcher in self._watchers:
            watcher(self._settings)

    def on_settings(self, watcher: Callable[[Settings], None]) -> Callable[[], object]:
        """Calls `watcher` when live settings have changed. Returns a function that ends it."""
        self._watchers[watcher] = None
        return lambda: self._watchers.pop(watcher, None)

    @property
    def limited(self) -> bool:
        """Returns true if rate limits are enabled."""
        return self._settings is not None and not self._settings.ratelimit_disabled

    @property
    def signer(self) -> Signer:
        if self._signer is None:
            raise RuntimeError("the instance is not started")
        return self._signer

    @property
    def passwords(self) -> Passwords:
        if self._passwords is None:
            raise RuntimeError("the instance is not started")
        return self._passwords

    @property
    def vault(self) -> Vault:
        if self._vault is None:
            raise RuntimeError("the instance is not started")
        return self._vault

    @property
    def store(self) -> Store:
        if self._store is None:
            raise RuntimeError("the instance is not started")
        return self._store

    @property
    def license(self) -> LicenseState:
        """The license that holds now."""
        if self._licensing is None:
            raise RuntimeError("the instance is not started")
        return self._licensing.at(self.clock.now())

    @property
    def mails_links(self) -> bool:
        """Returns true if the server can mail links to itself."""
        return self.mailer is not None and self.settings.public_url is not None

    def uptime(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started


instance = Instance()
