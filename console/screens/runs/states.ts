import type { RunState, SpanStatus } from "../../generated/types";
import { texts } from "../../lib/texts";

type Tone = "good" | "warn" | "bad" | "busy" | "quiet";
export const TONES: Record<RunState | SpanStatus, Tone> = {
  QUEUED: "quiet",
  RUNNING: "busy",
  WAITING: "warn",
  COMPLETED: "good",
  FAILED: "bad",
  CANCELLED: "quiet",
  TIMEOUT: "bad",
};

export const triggerOf = (trigger: string): string => texts.runs.triggers[trigger as keyof typeof texts.runs.triggers] ?? trigger.toLowerCase();
