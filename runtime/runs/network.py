"""The network of a crew's processes: the current policy, and the journal of requested hosts."""

from collections.abc import Iterable, Mapping, Sequence

from models.staff.crews import NetworkMode
from resolvers.identity.caller import Caller
from resolvers.instance.settings import Settings
from resolvers.kernel import instance
from resolvers.oversight.journal import emit_journal_entry
from resolvers.rules.allowed_domains import ALWAYS_ALLOWED
from resolvers.rules.redaction import Redactor
from resolvers.staff.crews.network import network_of
from runtime.egress import ConnectionRefused, EgressGateway, Endpoint, Policy, Seen
from runtime.egress.stand_ins import StandIns
from runtime.runs.job import Job

SERVICE = "runtime"


def servers_of_models(settings: Settings) -> frozenset[Endpoint]:
    """Model servers that the operator has declared in place of the vendors', for agents, evaluators and the keeper.
    Agents use a model by their runs, which are metered; the servers' other functions are closed to them.
    """
    given = (
        settings.anthropic_base_url, settings.openai_base_url, settings.gemini_base_url, settings.ollama_base_url,
        settings.keeper_address,
    )  # fmt: skip
    return frozenset(each for each in map(_endpoint, given) if each is not None and each.host not in ALWAYS_ALLOWED)


def _endpoint(url: str | None) -> Endpoint | None:
    try:
        return Endpoint.of_url(url or "")
    except ConnectionRefused:
        return None


async def gateway_for(job: Job, redactor: Redactor, *, hosts: Iterable[str] = ()) -> EgressGateway:
    """The network of a run. Beside the hosts that the crew allows: `hosts` of its credentials, by their exact names."""
    about = {"agent_id": job.agent.id, "refs": {"run_id": job.run_id}}
    whose = (job.workspace_id, job.agent.crew_id, about, redactor)
    return await gateway_of(*whose, hosts=frozenset(hosts), restricted=job.restricted)


async def gateway_of(
    workspace_id: str,
    crew_id: str | None,
    about: Mapping[str, object],
    redactor: Redactor,
    *,
    hosts: frozenset[str] = frozenset(),
    restricted: bool = False,
    stand_ins: StandIns | None = None,
) -> EgressGateway:
    """`about`: further data of journal entries. `hosts` are reached beside the crew's. `stand_ins` are inserted if the
    crew's rules allow their hosts.
    """
    closed = servers_of_models(instance.settings)

    async def policy() -> Policy:
        crew = await network_of(workspace_id, crew_id)
        mode = NetworkMode.restricted if restricted else crew.mode
        return Policy(mode, frozenset(crew.allowed_domains), hosts, closed)

    async def tell(seen: Sequence[Seen]) -> None:
        for each in seen:
            entry = {"workspace_id": workspace_id, "crew_id": crew_id, **about, **_entry(each, redactor)}
            await emit_journal_entry(Caller.service(SERVICE, workspace_id), entry)

    return EgressGateway(await policy(), refresh=policy, tell=tell, stand_ins=stand_ins)


def _entry(seen: Seen, redactor: Redactor) -> dict[str, object]:
    """Redacts the host, because a program can build it from a secret."""
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
