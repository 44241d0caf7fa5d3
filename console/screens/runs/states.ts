import type { RunState, SpanStatus } from "../../generated/types";

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
