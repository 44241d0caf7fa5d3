"""The way out of a run's processes: its crew's policy as it is now, and the journal of what was asked for."""

from collections.abc import Iterable, Sequence

from models.crews import NetworkMode
from resolvers.crews.network import network_of
from resolvers.identity.caller import Caller
from resolvers.journal import emit_journal_entry
from resolvers.rules.redaction import Redactor
from runtime.egress import Endpoint, Gateway, Policy, Seen
from runtime.job import Job

SERVICE = "runtime"


async def gateway_for(
    job: Job, redactor: Redactor, *, hosts: Iterable[str] = (), declared: Iterable[str] = ()
) -> Gateway:
    """Beside what the crew allows: `hosts` that the run's credentials point to, by their exact names, and the
    operator's `declared` servers of models by their URLs, each at its host and port alone, also on this machine.
    """
    names, endpoints = frozenset(hosts), frozenset(map(Endpoint.of_url, declared))

    async def policy() -> Policy:
        crew = await network_of(job.workspace_id, job.agent.crew_id)
        mode = NetworkMode.restricted if job.restricted else crew.mode
        return Policy(mode, frozenset(crew.allowed_domains), names, endpoints)

    async def tell(seen: Sequence[Seen]) -> None:
        for each in seen:
            await _record(job, each, redactor)

    return Gateway(await policy(), refresh=policy, tell=tell)


async def _record(job: Job, seen: Seen, redactor: Redactor) -> None:
    """A host may be made of what a program knows: what is a secret of the run is taken out."""
    payload = {
        "host": redactor.redact(seen.host),
        "port": seen.port or None,
        "method": seen.method or None,
        "status_code": 403 if seen.refused else 200,
        "reason": seen.refused or None,
    }
    entry = {
        "workspace_id": job.workspace_id,
        "type": "network.egress",
        "summary": redactor.redact(str(seen)),
        "crew_id": job.agent.crew_id,
        "agent_id": job.agent.id,
        "payload": {name: value for name, value in payload.items() if value is not None},
        "refs": {"run_id": job.run_id},
    }
    await emit_journal_entry(Caller.service(SERVICE, job.workspace_id), entry)
