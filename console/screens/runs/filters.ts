import type { RunsQueryVariables, RunSort, RunState } from "../../generated/types";
import { addressed, between, beginOf } from "../../lib/addressed";

export const STATES: readonly RunState[] = ["QUEUED", "RUNNING", "WAITING", "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"];
export const FILTERS = ["state", "trigger", "q", "agent", "crew", "model", "mission", "issue", "since", "until", "ended"] as const;

export const SORTS: readonly RunSort[] = ["oldest", "ended"];

/** A filter of several values: "FAILED,TIMEOUT". */
export const several = (query: URLSearchParams, name: string): string[] => (query.get(name) ?? "").split(",").filter(Boolean);

/** The filters are in the address; so is what they read. */
export function variablesOf(ws: string, query: URLSearchParams): RunsQueryVariables {
  const states = STATES.filter((one) => several(query, "state").includes(one));
  const triggers = several(query, "trigger");
  return {
    ws,
    ...addressed(query, ["agent", "crew", "model", "mission", "issue"]),
    ...between(query),
    endedSince: beginOf(query, "ended"),
    state: states[0] && states,
    trigger: triggers[0] && triggers,
    search: query.get("q")?.trim() || undefined,
    sort: SORTS.find((one) => one === query.get("sort")),
  };
}
