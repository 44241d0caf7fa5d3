"""The way out of a crew's processes: its policy as it is now, and the journal of what was asked for."""

from collections.abc import Iterable, Mapping, Sequence

from models.crews import NetworkMode
from resolvers.crews.network import network_of
from resolvers.identity.caller import Caller
from resolvers.instance.settings import Settings
from resolvers.journal import emit_journal_entry
from resolvers.rules.redaction import Redactor
from runtime.egress import Endpoint, Gateway, Policy, Refused, Seen
from runtime.job import Job

SERVICE = "runtime"


def servers_of_models(settings: Settings) -> list[str]:
    """Those that the operator has declared in place of the vendors'. What is no URL is reached by nobody."""
    given = (
        settings.anthropic_base_url, settings.openai_base_url, settings.gemini_base_url, settings.ollama_base_url
    )  # fmt: skip
    return [url for url in given if url and _is_readable(url)]


def _is_readable(url: str) -> bool:
    try:
        Endpoint.of_url(url)
    except Refused:
        return False
    return True


async def gateway_for(
    job: Job, redactor: Redactor, *, hosts: Iterable[str] = (), declared: Iterable[str] = ()
) -> Gateway:
    """Of a run. Beside what the crew allows: `hosts` that its credentials point to, by their exact names, and the
    operator's `declared` servers of models by their URLs, each at its host and port alone, also on this machine.
    """
    about = {"agent_id": job.agent.id, "refs": {"run_id": job.run_id}}
    also = Policy(hosts=frozenset(hosts), endpoints=frozenset(map(Endpoint.of_url, declared)))
    return await gateway_of(job.workspace_id, job.agent.crew_id, about, redactor, also=also, restricted=job.restricted)


async def gateway_of(
    workspace_id: str,
    crew_id: str | None,
    about: Mapping[str, object],
    redactor: Redactor,
    *,
    also: Policy | None = None,
    restricted: bool = False,
) -> Gateway:
    """`about`: what else entries of the journal say. `also`: its hosts and endpoints are reached beside the crew's."""
    beside = also or Policy()

    async def policy() -> Policy:
        crew = await network_of(workspace_id, crew_id)
        mode = NetworkMode.restricted if restricted else crew.mode
        return Policy(mode, frozenset(crew.allowed_domains), beside.hosts, beside.endpoints)

    async def tell(seen: Sequence[Seen]) -> None:
        for each in seen:
            entry = {"workspace_id": workspace_id, "crew_id": crew_id, **about, **_entry(each, redactor)}
            await emit_journal_entry(Caller.service(SERVICE, workspace_id), entry)

    return Gateway(await policy(), refresh=policy, tell=tell)


def _entry(seen: Seen, redactor: Redactor) -> dict[str, object]:
    """A host may be made of what a program knows: what is a secret of the run is taken out."""
    payload = {
        "host": redactor.redact(seen.host),
        "port": seen.port or None,
        "method": seen.method or None,
        "status_code": 403 if seen.refused else 200,
        "reason": seen.refused or None,
    }
    return {
        "type": "network.egress",
        "summary": redactor.redact(str(seen)),
        "payload": {name: value for name, value in payload.items() if value is not None},
    }
