import type { AgentLineFragment, AgentStatus, CrewsQuery } from "../../generated/types";

export const TONES: Record<AgentStatus, "good" | "warn" | "bad" | "busy" | "quiet"> = {
  IDLE: "quiet",
  RUNNING: "busy",
  ERROR: "bad",
  STOPPED: "warn",
  PENDING_REVIEW: "warn",
};

export const spent = (costs: readonly { costUsd: number }[]): number => costs.reduce((sum, { costUsd }) => sum + costUsd, 0);

/** An agent in a list. Not everybody may know the cost. */
export type Line = AgentLineFragment & { cost?: number };

/** A page of agents, with what each has cost where the viewer may know it. */
export function withCosts({ agents, money }: Pick<CrewsQuery, "agents" | "money">) {
  const of = new Map(money?.nodes.flatMap(({ id, costs }) => (costs ? [[id, spent(costs)]] : [])));
  return agents && { ...agents, nodes: agents.nodes.map((agent): Line => ({ ...agent, cost: of.get(agent.id) })) };
}
