import type { CostsQueryVariables } from "../../generated/types";

export const DAY = 86_400_000;
export const LATELY = 7; // days whose pace a forecast goes by
export const PERIODS = ["30", "7", "90", "month"] as const;
export const SPLITS = ["agent", "crew", "model"] as const;

/** Days are those of UTC, as the ledger's. */
export const dayOf = (at: number): string => new Date(at).toISOString().slice(0, 10);
export const daysBack = (days: number): string => dayOf(Date.now() - (days - 1) * DAY);
export const monthSince = (): string => `${daysBack(1).slice(0, 8)}01`;

/** The value of a choice in the address; the first one without. */
export const chosen = <One extends string>(query: URLSearchParams, name: string, all: readonly One[]): One => all.find((one) => one === query.get(name)) ?? all[0]!;

export function variablesOf(ws: string, query: URLSearchParams): CostsQueryVariables {
  const period = chosen(query, "period", PERIODS);
  return {
    ws,
    by: ["day", chosen(query, "by", SPLITS)],
    since: period === "month" ? monthSince() : daysBack(+period),
    until: daysBack(1),
    pace: daysBack(31), // this month, and the last days
  };
}
