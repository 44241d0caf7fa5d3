import { duration } from "../../lib/time.svelte";
import type { Task } from "./layers";

/** When a task ran, in milliseconds. */
export interface Span {
  from: number;
  to: number;
}
/** Pixels of a task and between tasks. */
export interface Size {
  width: number;
  height: number;
  across: number;
  down: number;
}
/** A stretch in which nothing began or ended, shown shorter than it was. */
export interface Break {
  x: number;
  width: number;
  text: string;
}
export interface Scale {
  /** Of a time at which something began or ended. */
  of: (time: number) => number;
  times: readonly number[];
  breaks: readonly Break[];
  /** The place of now, or of the end. */
  end: number;
}

const USUAL = 60_000; // milliseconds, where nothing has ended yet
const LONGEST = 4; // widths of a task, for a stretch in which nothing begins or ends
const BREAK = 88; // pixels that stand for a longer one, and hold its length in words

/** Nothing where the task has not begun, or begins once more. */
export function spanOf(task: Task, now: number): Span | undefined {
  if (task.status === "PENDING" || task.status === "BLOCKED") return undefined;
  const ended = task.completedAt ? Date.parse(task.completedAt) : undefined;
  const from = task.startedAt ? Date.parse(task.startedAt) : ended;
  if (from === undefined) return undefined;
  if (task.status === "IN_PROGRESS") return { from, to: Math.max(from, now) };
  // A task that a person decided on is completed by the decision: it ran before.
  const decided = task.status === "AWAITING_APPROVAL" || task.approvedAt;
  const ran = from + (task.durationMs ?? 0);
  return { from, to: Math.max(from, decided ? ran : (ended ?? ran)) };
}

function median(numbers: number[]): number | undefined {
  numbers.sort((one, other) => one - other);
  return numbers[Math.floor(numbers.length / 2)];
}

/**
 * Time from left to right. It never runs backwards; it is stretched where tasks that follow each other would not stand side by side, and
 * compressed where nothing happens for long.
 */
export function scaleOf(spans: readonly (Span | undefined)[], before: readonly (readonly number[])[], now: number | undefined, size: Size, left: number): Scale | undefined {
  const known = spans.filter((span) => span !== undefined);
  if (!known.length) return undefined;
  const last = Math.max(...known.map(({ to }) => to));
  const end = now === undefined ? last : Math.max(now, last);
  const times = [...new Set([...known.flatMap(({ from, to }) => [from, to]), end])].sort((one, other) => one - other);
  const unit = size.width / (median(known.map(({ from, to }) => to - from).filter((long) => long > 0)) ?? USUAL);
  const beginning = new Map<number, number[]>();
  for (const [at, span] of spans.entries()) if (span) beginning.set(span.from, [...(beginning.get(span.from) ?? []), at]);
  const places = new Map<number, number>();
  const breaks: Break[] = [];
  let place = left;
  let right = left; // of all tasks so far
  for (const [at, time] of times.entries()) {
    const long = at ? time - times[at - 1]! : 0;
    const start = place;
    const broken = long * unit > LONGEST * size.width;
    place += broken ? BREAK : long * unit;
    const follow = beginning.get(time) ?? [];
    for (const other of follow.flatMap((one) => before[one]!)) {
      const span = spans[other];
      if (span && span.from < time) place = Math.max(place, places.get(span.from)! + size.width + size.across);
    }
    if (time === end) place = Math.max(place, right);
    if (broken) breaks.push({ x: start, width: place - start, text: duration(long) });
    places.set(time, place);
    if (follow.length) right = Math.max(right, place + size.width);
  }
  return { of: (time) => places.get(time)!, times, breaks, end: Math.max(place, right) };
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const fine = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const SHORT = 900_000; // milliseconds between two times that need seconds to differ
const APART = 96; // pixels between two times on the axis

export const clockOf = (time: number): string => clock.format(time);
export const dayOf = (time: number): string => day.format(time);

/** Times above the tasks, as many as there is room for; the day where another one begins. */
export function ticksOf({ times, of, breaks }: Scale, until: number): { x: number; text: string }[] {
  const ticks: { x: number; text: string }[] = [];
  let today = dayOf(Date.now());
  let shown = -Infinity;
  const short = times.at(-1)! - times[0]! < SHORT;
  for (const time of times) {
    const x = of(time);
    const hidden = breaks.some((one) => x > one.x - APART / 2 && x < one.x + one.width);
    if (hidden || x - shown < APART || x > until - APART) continue;
    const its = dayOf(time);
    ticks.push({ x, text: `${its === today ? "" : `${its} `}${(short ? fine : clock).format(time)}` });
    today = its;
    shown = x;
  }
  return ticks;
}
