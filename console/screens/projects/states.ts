import type { MilestoneStatus, ProjectStatus } from "../../generated/types";

export const PROJECT_TONES = { backlog: "quiet", planned: "quiet", in_progress: "busy", paused: "warn", completed: "good", cancelled: "quiet" } as const satisfies Record<ProjectStatus, string>;
export const MILESTONE_TONES = { active: "busy", completed: "good", cancelled: "quiet" } as const satisfies Record<MilestoneStatus, string>;
