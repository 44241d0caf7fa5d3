import type { ModelCallsQueryVariables } from "../../generated/types";
import { addressed, between } from "../../lib/addressed";

export const FILTERS = ["agent", "crew", "model", "run", "mission", "since", "until"] as const;

/** The filters are in the address; so is what they read. */
export const variablesOf = (ws: string, query: URLSearchParams): ModelCallsQueryVariables => ({ ws, ...addressed(query, FILTERS), ...between(query) });
