import type { AgentStatus } from "../../generated/types";

export const TONES: Record<AgentStatus, "good" | "warn" | "bad" | "busy" | "quiet"> = {
  IDLE: "quiet",
  RUNNING: "busy",
  ERROR: "bad",
  STOPPED: "warn",
  PENDING_REVIEW: "warn",
};

export const spent = (costs: readonly { costUsd: number }[]): number => costs.reduce((sum, { costUsd }) => sum + costUsd, 0);
