import type { Known } from "../../lib/document";
import { AgentPage } from "../../generated/AgentPage";
import { CrewPage } from "../../generated/CrewPage";
import { Crews } from "../../generated/Crews";
import { texts } from "../../lib/texts";
import type { Listed } from "../../screens";
import { variablesOf } from "./filters";

const known = (document: unknown) => document as Known<unknown, never>;
const byId = (ws: string, { id }: Record<string, string>) => ({ ws, id });
const crew = { title: texts.crews.one, load: () => import("../crew/Crew.svelte"), document: known(CrewPage), variables: byId };
const agent = { title: texts.agent.title, load: () => import("../agent/Agent.svelte"), document: known(AgentPage), variables: byId };

export const CREWS: readonly Listed[] = [
  {
    name: "crews",
    path: "crews",
    title: texts.crews.title,
    letter: "a",
    icon: "M7 9a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM2 17a5 5 0 0 1 10 0M13 3.5a3 3 0 0 1 0 5.5M14 12a5 5 0 0 1 4 5",
    load: () => import("./Crews.svelte"),
    document: known(Crews),
    variables: (ws, _parameters, query) => ({ ...variablesOf(ws, query) }),
  },
  { name: "crews/crew", path: "crews/:id", ...crew },
  { name: "crews/crew/part", path: "crews/:id/:part", ...crew },
  { name: "crews/agent", path: "agents/:id", ...agent },
  { name: "crews/agent/part", path: "agents/:id/:part", ...agent },
];
