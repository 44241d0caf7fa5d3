import { CloneMission } from "../../generated/CloneMission";
import { ContinueMission } from "../../generated/ContinueMission";
import { DeleteMission } from "../../generated/DeleteMission";
import { PauseMission } from "../../generated/PauseMission";
import { RestartMission } from "../../generated/RestartMission";
import { ResumeMission } from "../../generated/ResumeMission";
import { StartMission } from "../../generated/StartMission";
import type { MissionQuery } from "../../generated/types";
import { UpdateMission } from "../../generated/UpdateMission";
import { change } from "../../lib/client";
import { router } from "../../lib/router.svelte";

export type Mission = NonNullable<MissionQuery["mission"]>;
/** Its plan can be changed. */
export const isOpen = ({ status }: Mission): boolean => status === "PLANNING" || status === "IN_PROGRESS";
export const isEnded = ({ status }: Mission): boolean => status === "COMPLETED" || status === "FAILED" || status === "CANCELLED";

/** What can be done with a mission as a whole. */
export const actsOf = (ws: string, mission: () => Mission) => {
  const input = () => ({ id: mission().id, crewId: mission().crewId });
  return {
    start: () => change(StartMission, { ws, input: input() }),
    pause: () => change(PauseMission, { ws, input: { id: mission().id } }),
    goOn: () => change(ContinueMission, { ws, input: { id: mission().id } }),
    resume: () => change(ResumeMission, { ws, input: input() }),
    restart: () => change(RestartMission, { ws, input: input() }),
    accept: () => change(UpdateMission, { ws, input: { ...input(), status: "COMPLETED" } }),
    cancel: () => change(UpdateMission, { ws, input: { ...input(), status: "CANCELLED" } }),
    rewrite: (changes: { title?: string; description?: string; plan?: string }) => change(UpdateMission, { ws, input: { ...input(), ...changes }, version: mission().version }),
    clone: async () => {
      const made = await change(CloneMission, { ws, input: input() });
      router.go(router.to(`missions/${made.cloneMission!.id}`));
    },
    remove: async () => {
      await change(DeleteMission, { ws, input: input() });
      router.go(router.to("missions"));
    },
  };
};
