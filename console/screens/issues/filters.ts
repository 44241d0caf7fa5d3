import type { IssueOrder, IssueListQueryVariables, MissionStatus } from "../../generated/types";

/** Names in the address: what a saved view keeps. */
export const FILTERS = ["crew", "assignee", "priority", "label", "project", "milestone", "due", "q", "status"] as const;
export const KEPT: readonly string[] = [...FILTERS, "view", "sort"];
export const ORDERS = [
  "created_at_desc", "created_at_asc", "updated_at_desc", "updated_at_asc", "priority_desc", "priority_asc", "due_date_asc", "due_date_desc", "rank_asc",
] as const satisfies readonly IssueOrder[];
export const orderOf = (query: URLSearchParams) => ORDERS.find((one) => one === query.get("sort")) ?? ORDERS[0];
export const DUE = { overdue: 0, week: 7, month: 30 } as const;
export const UNASSIGNED = "-";

export const several = (query: URLSearchParams, name: string): string[] => (query.get(name) ?? "").split(",").filter(Boolean);

function day(days: number): string {
  const at = new Date();
  at.setDate(at.getDate() + days);
  return [at.getFullYear(), at.getMonth() + 1, at.getDate()].map((part) => String(part).padStart(2, "0")).join("-");
}

/** Today, as a due date is written. */
export const today = (): string => day(0);

const listed = (names: string[]) => (names.length ? names : undefined);

/** The filters are in the address; so is what they read. */
export function filtersOf(ws: string, query: URLSearchParams) {
  const assignee = query.get("assignee") || undefined;
  const due = query.get("due") as keyof typeof DUE | null;
  return {
    ws,
    crew: query.get("crew") || undefined,
    project: query.get("project") || undefined,
    milestone: query.get("milestone") || undefined,
    assignee: assignee === UNASSIGNED ? undefined : assignee,
    unassigned: assignee === UNASSIGNED ? true : undefined,
    priority: listed(several(query, "priority")),
    labels: listed(several(query, "label")),
    due: due && due in DUE ? day(DUE[due] + (DUE[due] ? 1 : 0)) : undefined,
    search: query.get("q") || undefined,
  };
}

export const listOf = (ws: string, query: URLSearchParams): IssueListQueryVariables => ({
  ...filtersOf(ws, query),
  status: listed(several(query, "status")) as MissionStatus[] | undefined,
  order: orderOf(query),
});
