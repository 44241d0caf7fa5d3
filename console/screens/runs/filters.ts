import type { RunsQueryVariables, RunSort, RunState } from "../../generated/types";
import { texts } from "../../lib/texts";

export const STATES = Object.keys(texts.runs.states) as RunState[];
export const TRIGGERS = Object.keys(texts.runs.triggers) as (keyof typeof texts.runs.triggers)[];
export const FILTERS = ["state", "trigger", "agent", "crew", "model", "mission", "issue", "since", "until"] as const;

/** A filter of several values: "FAILED,TIMEOUT". */
export const several = (query: URLSearchParams, name: string): string[] => (query.get(name) ?? "").split(",").filter(Boolean);

/** A day of the address begins and ends by UTC, as the days of costs do. */
const at = (given: string | null, time: string): string | undefined => (given ? (given.includes("T") ? given : `${given}T${time}Z`) : undefined);

/** The filters are in the address; so is what they read. */
export function variablesOf(ws: string, query: URLSearchParams): RunsQueryVariables {
  const states = several(query, "state").filter((one): one is RunState => one in texts.runs.states);
  const triggers = several(query, "trigger");
  const named = (name: string) => query.get(name) ?? undefined;
  return {
    ws,
    state: states.length ? states : undefined,
    trigger: triggers.length ? triggers : undefined,
    agent: named("agent"),
    crew: named("crew"),
    model: named("model"),
    mission: named("mission"),
    issue: named("issue"),
    since: at(query.get("since"), "00:00:00"),
    until: at(query.get("until"), "23:59:59"),
    sort: query.get("sort") === "oldest" ? ("oldest" satisfies RunSort) : undefined,
  };
}
