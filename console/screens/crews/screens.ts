import { AgentPage } from "../../generated/AgentPage";
import { CrewPage } from "../../generated/CrewPage";
import { Crews } from "../../generated/Crews";
import { screen, type Listed } from "../../lib/listed";
import { texts } from "../../lib/texts";
import { variablesOf } from "./filters";

const icon = "M7 9a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM2 17a5 5 0 0 1 10 0M13 3.5a3 3 0 0 1 0 5.5M14 12a5 5 0 0 1 4 5";
const section = "crews";
const crew = () => import("../crew/Crew.svelte");
const agent = () => import("../agent/Agent.svelte");
/** All parts of a page read the same first. */
const variables: Listed["variables"] = (ws, _query, { id }) => ({ ws, id });

export const CREWS: readonly Listed[] = [
  screen("crews", texts.crews.title, () => import("./Crews.svelte"), Crews, { letter: "a", icon, variables: (ws, query) => ({ ...variablesOf(ws, query) }) }),
  screen("crews/:id", texts.crews.one, crew, CrewPage),
  screen("crews/:id/:part", texts.crews.one, crew, CrewPage, { variables }),
  screen("agents/:id", texts.agent.title, agent, AgentPage, { section }),
  screen("agents/:id/:part", texts.agent.title, agent, AgentPage, { section, variables }),
];
