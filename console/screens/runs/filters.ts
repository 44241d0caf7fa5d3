import type { RunsQueryVariables, RunStatus } from "../../generated/types";

/** The filters are in the address; so is what they read. */
export const variablesOf = (ws: string, query: URLSearchParams): RunsQueryVariables => ({
  ws,
  status: (query.get("state") as RunStatus | null) ?? undefined,
  agent: query.get("agent") ?? undefined,
  trigger: query.get("trigger") ?? undefined,
});
