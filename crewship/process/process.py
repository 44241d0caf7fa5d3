"""The resources that a process opens before it serves and closes afterwards, in every role."""

import asyncio
import contextlib
import gc
import sys
from collections.abc import AsyncIterator
from typing import Any

from pydantic import SecretStr

from crewship.perimeter.connections import connections
from crewship.process import keys
from crewship.process.log_level import log_level
from crewship.process.mail import mailer_of
from crewship.process.memory import give_back
from crewship.process.metrics_export import exporting
from crewship.process.wakeups import PostgresWakeups, RedisWakeups
from crewship.process.watchdog import Watchdog, recorder, warn
from crewship.process.work import working
from resolvers.domains import load
from resolvers.instance import crypto
from resolvers.instance.addresses import TrustedProxies
from resolvers.instance.license import Limit, read_licensing
from resolvers.instance.passwords import Passwords
from resolvers.instance.running import Instance, instance
from resolvers.instance.settings import Settings
from resolvers.kernel.admission.uses import uses
from resolvers.kernel.background.data_keys import DataKeyStore
from resolvers.kernel.declarations.operation import answered
from resolvers.kernel.reader import check_graphs
from resolvers.kernel.store.bus import bus
from resolvers.kernel.store.database import database
from resolvers.live import ChatLine, attendance, hub, presence
from resolvers.oversight.instance_settings.following import SettingsFollowing
from resolvers.staff.chats import streaming
from runtime.work.trials import Trials

COLLECT = (5_000, 4)
"""Thresholds of the collector: requests leave few cycles behind, so it looks for them every 5,000 objects instead of
700. Its middle generation is small on purpose: at 20 rounds it held 100,000 objects of documents being read, and
walking them held the loop for 0.2 s. Python's own rule decides about full rounds: there are few old objects, and more
of them wait for a round, the longer it takes.
"""

SWITCH = 0.0001
"""Seconds after which a thread that computes lets the loop go on. Python's own 5 ms were waited for after every call to
the system while GraphQL was made or a long document read, many times a request.
"""


def declare() -> None:
    """Makes all operations known. Raises TypeError where the rows that they answer with lack a graph."""
    load()
    check_graphs(answered())


def start(settings: Settings, passwords: Passwords) -> Instance:
    """Keys, license and clock of this process."""
    key = settings.admin_token_hmac_key
    configured = {
        Limit.crews: settings.max_crews,
        Limit.agents: settings.max_agents_per_crew,
        Limit.members: settings.max_members,
    }
    limits = {limit: most for limit, most in configured.items() if most is not None}
    licensing = read_licensing(
        settings.license_file, settings.license_public_key, settings=limits, now=instance.clock.now()
    )
    secret = _secret(settings.nextauth_secret)
    instance.bootstrap_token = crypto.setup_token(secret)
    signer = crypto.Signer(secret, keys.still_good(settings))
    instance.mailer = mailer_of(settings)
    instance.trials = Trials()
    instance.start(
        settings,
        signer,
        passwords,
        licensing,
        crypto.admin_hmac_key(key.get_secret_value() if key else None),
        keys.vault(settings, DataKeyStore()),
    )
    return instance


@contextlib.asynccontextmanager
async def opened(settings: Settings, passwords: Passwords) -> AsyncIterator[None]:
    """The lifespan of an application."""
    start(settings, passwords)
    connections.limit(settings.max_connections, exempt=TrustedProxies(settings.trusted_proxy_cidrs).trusts)
    direct = None if settings.database_direct_url is None else _secret(settings.database_direct_url)
    replicas = None if settings.database_replica_url is None else _secret(settings.database_replica_url)
    await database.open(
        _secret(settings.database_url),
        size=settings.pool_size,
        row_security=settings.row_level_security,
        direct=direct,
        replicas=replicas,
    )
    await bus.open(_wakeups(settings))
    following = SettingsFollowing()
    await following.look()
    hub.start()
    attendance.start()
    streaming.offer(ChatLine)
    followers = (log_level.run(), following.run())
    background = [asyncio.create_task(task) for task in (uses.run(), presence.run(), *followers)]
    if gc.isenabled():  # a process that has done nothing but load has next to nothing to collect
        gc.collect()
    gc.freeze()  # what was loaded stays: the collector need not walk it again and again
    gc.set_threshold(*COLLECT)
    gc.enable()
    give_back()
    sys.setswitchinterval(SWITCH)
    watchdog = Watchdog(warn, *(() if settings.stalls_file is None else (recorder(settings.stalls_file),)))
    try:
        async with working(settings), exporting(settings.otel_metrics, settings.otel_metrics_interval / 1000):
            watchdog.start()
            yield
    finally:
        watchdog.stop()
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        streaming.offer(None)
        await attendance.stop()
        await hub.stop()
        await bus.close()
        await database.close()
        passwords.close()


def _wakeups(settings: Settings) -> Any:
    """The wake-ups between processes: by Redis if it is set, otherwise by the shared database."""
    return (
        PostgresWakeups(database.direct, _secret(settings.database_url))
        if settings.redis_url is None
        else RedisWakeups(settings.redis_url.get_secret_value())
    )


def _secret(value: SecretStr | None) -> str:
    if value is None:
        raise RuntimeError("the keys of the instance are not settled")
    return value.get_secret_value()
