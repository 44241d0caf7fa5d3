import type { CostsQuery } from "../../generated/types";
import { DAY, dayOf, daysBack, LATELY, monthSince } from "./period";

export type Breakdown = NonNullable<CostsQuery["costBreakdown"]>;
export interface Part {
  key: string;
  name: string;
  calls: number;
  cost: number;
  tokens: number;
  /** By day, in the order of `daysOf`. */
  days: number[];
}

export function daysOf({ since, until }: { since: string; until: string }): string[] {
  const days: string[] = [];
  for (let at = Date.parse(since); at <= Date.parse(until); at += DAY) days.push(dayOf(at));
  return days;
}

/** The sums of each agent, crew or model, the largest first. */
export function partsOf(data: Breakdown, days: readonly string[]): Part[] {
  const place = new Map(days.map((day, at) => [day, at]));
  const found = new Map<string, Part>();
  for (const { keys, names, calls, costUsd, inputTokens, outputTokens } of data.cells) {
    const [day, key] = keys as [string, string];
    const part = found.get(key) ?? { key, name: names[1]!, calls: 0, cost: 0, tokens: 0, days: days.map(() => 0) };
    found.set(key, part);
    part.calls += calls;
    part.cost += costUsd;
    part.tokens += inputTokens + outputTokens;
    part.days[place.get(day) ?? 0]! += costUsd;
  }
  return [...found.values()].sort((a, b) => b.cost - a.cost || b.calls - a.calls || a.name.localeCompare(b.name));
}

/** What is drawn: the largest ones, and all others as one. */
export function drawnOf(parts: readonly Part[], others: string, most = 6): Part[] {
  if (parts.length <= most) return [...parts];
  const rest = parts.slice(most - 1);
  const sum = (value: (part: Part) => number) => rest.reduce((all, part) => all + value(part), 0);
  const days = rest[0]!.days.map((_, at) => sum((part) => part.days[at]!));
  return [...parts.slice(0, most - 1), { key: "", name: others, calls: sum(({ calls }) => calls), cost: sum(({ cost }) => cost), tokens: sum(({ tokens }) => tokens), days }];
}

/** Spent this month, and by its end: for the rest of it as much a day as lately. */
export function monthOf(cells: readonly { keys: readonly string[]; costUsd: number }[]): { spent: number; forecast: number } {
  const sumSince = (day: string) => cells.reduce((all, { keys, costUsd }) => all + (keys[0]! >= day ? costUsd : 0), 0);
  const now = new Date();
  const last = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 0)).getUTCDate();
  const spent = sumSince(monthSince());
  return { spent, forecast: spent + (sumSince(daysBack(LATELY)) / LATELY) * (last - now.getUTCDate()) };
}
