import type { AgentStatus, CrewsQueryVariables } from "../../generated/types";

/** The filters are in the address; so is what they read. */
export const variablesOf = (ws: string, query: URLSearchParams): CrewsQueryVariables => ({
  ws,
  search: query.get("q") ?? undefined,
  status: (query.get("state") as AgentStatus | null) ?? undefined,
});
