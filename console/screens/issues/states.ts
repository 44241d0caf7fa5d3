import type { IssueStatus, MissionStatus } from "../../generated/types";

type Tone = "good" | "warn" | "bad" | "busy" | "quiet";
export const TONES: Record<MissionStatus, Tone> = {
  BACKLOG: "quiet",
  TODO: "quiet",
  PLANNING: "busy",
  RESUMING: "busy",
  IN_PROGRESS: "busy",
  REVIEW: "warn",
  DONE: "good",
  COMPLETED: "good",
  FAILED: "bad",
  CANCELLED: "quiet",
  DUPLICATE: "quiet",
};

/** The columns of a board, from left to right; the last ones are shown if something is there. */
export const COLUMNS = ["BACKLOG", "TODO", "IN_PROGRESS", "REVIEW", "DONE", "FAILED", "CANCELLED", "DUPLICATE"] as const satisfies readonly IssueStatus[];
export const ALWAYS = 5;
export const PRIORITIES = ["urgent", "high", "medium", "low", "none"] as const;
