"""Model calls enter the ledger in the statement that stores the outcome of their step."""

from dataclasses import asdict, dataclass, field
from typing import Any

from models.base import new_id
from models.bounds import LINE
from models.resources.costs import SLOTS, BillingMode

SUMMED = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_creation_tokens", "cost_micros")


@dataclass(frozen=True, slots=True)
class Charge:
    """The usage of one model call, and its cost in millionths of a US dollar; None if the price is unknown.

    `estimated`: the provider reported no numbers.
    """

    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int = 0
    cache_creation_tokens: int = 0
    cost_micros: int | None = None
    estimated: bool = False
    billing_mode: BillingMode = BillingMode.metered
    id: str = field(default_factory=new_id, compare=False)

    def row(self, step: str) -> dict[str, Any]:
        named = {"step": step, "provider": self.provider[:LINE], "model": self.model[:LINE]}
        return asdict(self) | named


def booked(charges: str) -> str:
    """CTEs behind `stepped`, which returns the names of the steps that are finished by this statement and no other: $1
    is the run, $2 the workspace, `charges` the parameter with a list of rows.

    What a call costs is spent of the budgets that concern it, and no longer set aside for the run.
    """
    sums = ", ".join(f"{name} = cost_days.{name} + excluded.{name}" for name in ("calls", *SUMMED))
    return f"""
booked AS (
    INSERT INTO model_calls (id, workspace_id, run_id, step, agent_id, crew_id, chat_id, mission_id, provider, model,
        estimated, billing_mode, {", ".join(SUMMED)})
    SELECT call.id, $2, $1, call.step, runs.agent_id, agents.crew_id, runs.chat_id, missions.id, call.provider,
        call.model, call.estimated, call.billing_mode, {", ".join(f"call.{name}" for name in SUMMED)}
    FROM jsonb_to_recordset({charges}::jsonb) AS call (id text, step text, provider text, model text, estimated bool,
        billing_mode text, {", ".join(f"{name} bigint" for name in SUMMED)})
    JOIN stepped ON stepped.name = call.step
    JOIN runs ON runs.id = $1 AND runs.workspace_id = $2
    JOIN agents ON agents.id = runs.agent_id AND agents.workspace_id = $2
    LEFT JOIN assignments ON assignments.id = runs.assignment_id AND assignments.workspace_id = $2
    LEFT JOIN missions ON missions.id = assignments.chat_id AND missions.workspace_id = $2
    RETURNING *
),
summed AS (
    INSERT INTO cost_days (workspace_id, day, agent_id, crew_id, model, slot, calls, {", ".join(SUMMED)})
    SELECT $2, (now() AT TIME ZONE 'UTC')::date, agent_id, coalesce(crew_id, ''), model, hashtext($1) & {SLOTS - 1},
        count(*), {", ".join(f"coalesce(sum({name}), 0)" for name in SUMMED)}
    FROM booked GROUP BY agent_id, crew_id, model ORDER BY model
    ON CONFLICT (workspace_id, day, agent_id, crew_id, model, slot) DO UPDATE SET {sums}
),
spent AS (
    INSERT INTO budget_spends (workspace_id, budget_id, span, slot, micros)
    SELECT $2, budgets.id,
        CASE budgets.period WHEN 'day' THEN to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD') ELSE 'total' END,
        hashtext($1) & {SLOTS - 1}, sum(booked.cost_micros)
    FROM booked JOIN budgets ON budgets.workspace_id = $2 AND (budgets.scope = 'workspace'
        OR budgets.agent_id = booked.agent_id OR budgets.crew_id = booked.crew_id
        OR budgets.mission_id = booked.mission_id)
    WHERE booked.cost_micros > 0 GROUP BY budgets.id, budgets.period ORDER BY budgets.id
    ON CONFLICT (workspace_id, budget_id, span, slot) DO UPDATE SET micros = budget_spends.micros + excluded.micros
),
settled AS (
    UPDATE run_reservations SET micros = GREATEST(run_reservations.micros - paid.micros, 0)
    FROM (SELECT sum(cost_micros) AS micros FROM booked) AS paid
    WHERE run_reservations.workspace_id = $2 AND run_reservations.run_id = $1 AND paid.micros > 0
)"""
