import { Budgets } from "../../generated/Budgets";
import { Costs } from "../../generated/Costs";
import { ModelCalls } from "../../generated/ModelCalls";
import { screen, type Listed } from "../../lib/listed";
import { texts } from "../../lib/texts";
import { variablesOf as callsOf } from "../calls/filters";
import { variablesOf } from "./period";

const icon = "M10 2v16M14 6q-8-4-8 1 0 3 4 3t4 3q0 5-8 1";

export const COSTS: readonly Listed[] = [
  screen("costs", texts.costs.title, () => import("./Costs.svelte"), Costs, { letter: "o", icon, variables: variablesOf }),
  screen("costs/budgets", texts.costs.budgets, () => import("../budgets/Budgets.svelte"), Budgets),
  screen("costs/calls", texts.costs.calls, () => import("../calls/Calls.svelte"), ModelCalls, { variables: callsOf }),
];
