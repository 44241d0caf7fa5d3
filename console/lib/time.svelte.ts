import { createSubscriber } from "svelte/reactivity";
import { texts } from "./texts";

const TICK = 10_000; // milliseconds

const ticking = createSubscriber((update) => {
  const timer = setInterval(update, TICK);
  document.addEventListener("visibilitychange", update);
  return () => {
    clearInterval(timer);
    document.removeEventListener("visibilitychange", update);
  };
});

/** The present; what reads it is shown anew while time passes. */
export function present(): number {
  ticking();
  return Date.now();
}

const STEPS = [
  ["min", 60],
  ["h", 3_600],
  ["d", 86_400],
  ["mo", 2_629_800],
  ["y", 31_557_600],
] as const;
// The first use of Intl loads its data, which takes longer than a screen: no screen needs it before something is looked at.
let exact: Intl.DateTimeFormat | undefined;

export function ago(at: string, now: number): string {
  const seconds = (Date.parse(at) - now) / 1000;
  const size = Math.abs(seconds);
  if (Number.isNaN(size)) return "";
  if (size < 45) return seconds > 5 ? texts.time.soon : texts.time.now;
  const step = STEPS.findLast(([, unit]) => size >= unit * 0.95) ?? STEPS[0]!;
  const number = Math.round(size / step[1]);
  if (step[0] === "d" && number === 1) return seconds > 0 ? texts.time.tomorrow : texts.time.yesterday;
  return seconds > 0 ? texts.time.in(number, step[0]) : texts.time.ago(number, step[0]);
}

export function exactly(at: string): string {
  exact ??= new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  return exact.format(new Date(at));
}

/** "24 Dec", of a day as "2026-12-24". */
export function dayOf(date: string): string {
  const [, month, day] = date.split("-").map(Number);
  return `${day} ${texts.time.months[month! - 1]}`;
}

const parts = (whole: number, unit: string, rest: number, smaller: string): string =>
  `${Math.floor(whole)} ${unit}${Math.floor(rest) ? ` ${Math.floor(rest)} ${smaller}` : ""}`;

/** "840 ms", "12.4 s", "3 min 5 s", "2 h", "3 d 2 h". */
export function duration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.max(0, Math.round(milliseconds))} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return parts(seconds / 60, "min", seconds % 60, "s");
  const hours = Math.floor(seconds / 3600);
  return hours >= 48 ? parts(hours / 24, "d", hours % 24, "h") : parts(hours, "h", (seconds % 3600) / 60, "min");
}

export const money = (usd: number | null | undefined): string =>
  usd === null || usd === undefined ? "–" : usd !== 0 && usd < 0.01 ? "< $0.01" : `$${usd.toFixed(2)}`;
/** "12,300". */
export const count = (number: number): string => `${number}`.replace(/\B(?=(\d{3})+$)/g, ",");
