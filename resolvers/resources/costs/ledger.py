"""The ledger: calls of models, and who reads of money."""

from typing import Annotated

from sqlmodel import col

from models.resources.costs import ModelCall
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.staff.runs import Run
from models.work.missions import Mission
from resolvers.kernel import (
    EVERYONE,
    Action,
    Filter,
    Id,
    Page,
    Paging,
    QueryScope,
    Text,
    derived,
    extend,
    graph,
    many,
    of_parent,
    one,
    query,
)
from resolvers.resources.costs.money import dollars
from resolvers.rules.times import Since, Until, from_time, up_to

MONEY = Action.UPDATE
"""The action that reads of money require: managers and above."""
NEWEST_FIRST = (col(ModelCall.created_at).desc(), col(ModelCall.id).desc())


class ListModelCalls(Paging):
    """Filters are combined with AND; values match exactly. `date_from` and `date_to` are inclusive; an invalid date
    matches nothing.
    """

    run_id: Annotated[Id | None, Filter(ModelCall.run_id, leads=True)] = None
    mission_id: Annotated[Id | None, Filter(ModelCall.mission_id, leads=True)] = None
    agent_id: Annotated[Id | None, Filter(ModelCall.agent_id, leads=True)] = None
    crew_id: Annotated[Id | None, Filter(ModelCall.crew_id, leads=True)] = None
    model: Annotated[Text | None, Filter(ModelCall.model, leads=True)] = None
    date_from: Annotated[Since, from_time(ModelCall.created_at)] = None
    date_to: Annotated[Until, up_to(ModelCall.created_at)] = None


graph(
    ModelCall,
    gate=MONEY,
    scope="workspace:read",
    visible=EVERYONE,
    cost_usd=derived(float | None, lambda call, scope: dollars(call.cost_micros)),
    agent_name=of_parent(Agent, "agent_id", "name"),
    crew_name=of_parent(Crew, "crew_id", "name"),
    issue_identifier=of_parent(Mission, "mission_id", "identifier"),
    agent=one(Agent, "agent_id"),
    crew=one(Crew, "crew_id"),
    mission=one(Mission, "mission_id"),
)
extend(Run, model_calls=many(ModelCall, "run_id", order_by=NEWEST_FIRST))


@query("model_calls.list", MONEY, tickets=False)
def list_model_calls(scope: QueryScope, data: ListModelCalls) -> Page[ModelCall]:
    """List calls of models.

    Returns tokens and costs of each call, newest first; ties by id, descending.
    """
    return scope.select(ModelCall).matching(data).order_by(*NEWEST_FIRST).page(data)
