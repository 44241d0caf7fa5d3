import { money } from "../../lib/time.svelte";
import type { Task } from "./layers";

interface Usage {
  calls: number;
  unpricedCalls: number;
  costUsd: number;
}

/** Nothing where no call was made, or none has a price. */
export const costOf = (usage: Usage | null | undefined): string => (!usage?.calls || (usage.unpricedCalls && !usage.costUsd) ? "" : money(usage.costUsd));

/** What all attempts cost: those that ended, and the one that runs. */
export const costOfTask = ({ status, estimatedCost, usage }: Pick<Task, "status" | "estimatedCost" | "usage">): string => {
  if (!estimatedCost) return costOf(usage);
  return money(estimatedCost + (status === "IN_PROGRESS" ? (usage?.costUsd ?? 0) : 0));
};
