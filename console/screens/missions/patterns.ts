import { CreateMissionTask } from "../../generated/CreateMissionTask";
import { change } from "../../lib/client";

interface Step {
  id: string;
  title: string;
  description?: string;
  agent_role?: string;
  depends_on?: string[];
  max_iterations?: number;
}

/** The steps of a template; none where its definition has another shape. */
export function stepsOf(definition: unknown): Step[] {
  const steps = (definition as { steps?: unknown } | null)?.steps;
  if (!Array.isArray(steps)) return [];
  return steps.filter((step): step is Step => typeof step?.id === "string" && typeof step?.title === "string");
}

/** Adds the steps as tasks of a mission, in an order in which each comes after those that it depends on. */
export async function addSteps(ws: string, mission: { id: string; crewId: string; leadAgentId: string }, steps: readonly Step[]): Promise<void> {
  const ids = new Map<string, string>();
  const known = new Set(steps.map(({ id }) => id));
  let waiting = [...steps];
  for (let order = 0; waiting.length; ) {
    // A circle has no first step: it is begun anywhere.
    const ready = waiting.filter(({ depends_on }) => (depends_on ?? []).every((id) => ids.has(id) || !known.has(id)));
    for (const step of ready.length ? ready : waiting.slice(0, 1)) {
      const input = {
        crewId: mission.crewId,
        missionId: mission.id,
        title: step.title,
        description: step.description,
        assignedAgentId: step.agent_role === "lead" ? mission.leadAgentId : undefined,
        taskOrder: order++,
        dependsOn: (step.depends_on ?? []).flatMap((id) => ids.get(id) ?? []),
        maxIterations: step.max_iterations,
      };
      const made = await change(CreateMissionTask, { ws, input });
      ids.set(step.id, made.createMissionTask!.id);
    }
    waiting = waiting.filter(({ id }) => !ids.has(id));
  }
}
