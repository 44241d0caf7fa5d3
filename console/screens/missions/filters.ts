import type { MissionSort, MissionsQueryVariables, MissionStatus } from "../../generated/types";

export const FILTERS = ["state", "crew", "lead"] as const;
export const SORTS: readonly MissionSort[] = ["newest", "oldest", "recently_changed"];

/** The filters are in the address; so is what they read. */
export const variablesOf = (ws: string, query: URLSearchParams): MissionsQueryVariables => {
  const state = query.get("state");
  return {
    ws,
    statuses: state ? [state as MissionStatus] : undefined,
    crew: query.get("crew") ?? undefined,
    lead: query.get("lead") ?? undefined,
    sort: (query.get("sort") as MissionSort | null) ?? undefined,
  };
};
