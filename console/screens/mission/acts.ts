import { StartMission } from "../../generated/StartMission";
import type { MissionQuery } from "../../generated/types";
import { UpdateMission } from "../../generated/UpdateMission";
import { change } from "../../lib/client";

export type Mission = NonNullable<MissionQuery["mission"]>;

/** What can be done with a mission as a whole. */
export const actsOf = (ws: string, mission: () => Mission) => {
  const input = () => ({ id: mission().id, crewId: mission().crewId });
  return {
    start: () => change(StartMission, { ws, input: input() }),
    accept: () => change(UpdateMission, { ws, input: { ...input(), status: "COMPLETED" } }),
    cancel: () => change(UpdateMission, { ws, input: { ...input(), status: "CANCELLED" } }),
    rewrite: (changes: { title?: string; description?: string; plan?: string }) => change(UpdateMission, { ws, input: { ...input(), ...changes }, version: mission().version }),
  };
};
