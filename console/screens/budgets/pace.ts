import type { BudgetFactsFragment, BudgetsQuery } from "../../generated/types";
import { budgets } from "../../lib/texts.costs";
import { count, money } from "../../lib/time.svelte";
import { DAY } from "../costs/period";

const LATELY = 30; // days of a breakdown that names none
const EARLY = 0.02; // of a day: what was spent by then says nothing of the rest

/** What the budget comes to, if money is spent as it was. */
export function paceOf(budget: BudgetFactsFragment, data: BudgetsQuery, now = Date.now()): string {
  if (budget.period === "day") {
    const passed = (now % DAY) / DAY;
    return passed > EARLY && budget.spentUsd ? budgets.endOfDay(money(budget.spentUsd / passed)) : "";
  }
  const cells = budget.scope === "agent" ? data.byAgent?.cells : budget.scope === "crew" ? data.byCrew?.cells : budget.scope === "workspace" ? data.all?.cells : undefined;
  const subject = budget.agentId ?? budget.crewId;
  const lately = (cells ?? []).reduce((all, { keys, costUsd }) => all + (!subject || keys[0] === subject ? costUsd : 0), 0);
  if (!lately || !budget.remainingUsd) return "";
  const days = Math.floor(budget.remainingUsd / (lately / LATELY));
  return days < 1 ? budgets.lastsToday : days > 3650 ? "" : budgets.lasts(count(days));
}

export const nameOf = ({ scope, crew, agent, mission }: BudgetFactsFragment): string =>
  scope === "workspace" ? budgets.workspace : (crew?.name ?? agent?.name ?? mission?.identifier ?? mission?.title ?? scope);
