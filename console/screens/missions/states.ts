import type { MissionStatus, TaskStatus } from "../../generated/types";

type Tone = "good" | "warn" | "bad" | "busy" | "quiet";
export const STATES: readonly MissionStatus[] = ["PLANNING", "IN_PROGRESS", "REVIEW", "COMPLETED", "FAILED", "CANCELLED"];
export const TONES: Record<MissionStatus, Tone> = {
  PLANNING: "quiet",
  IN_PROGRESS: "busy",
  RESUMING: "busy",
  REVIEW: "warn",
  COMPLETED: "good",
  DONE: "good",
  FAILED: "bad",
  CANCELLED: "quiet",
  BACKLOG: "quiet",
  TODO: "quiet",
  DUPLICATE: "quiet",
};
export const TASK_TONES: Record<TaskStatus, Tone> = {
  PENDING: "quiet",
  BLOCKED: "quiet",
  IN_PROGRESS: "busy",
  COMPLETED: "good",
  FAILED: "bad",
  SKIPPED: "quiet",
  AWAITING_APPROVAL: "warn",
  CANCELLED: "quiet",
};
