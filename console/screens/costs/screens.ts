import { Budgets } from "../../generated/Budgets";
import { Costs } from "../../generated/Costs";
import { ModelCalls } from "../../generated/ModelCalls";
import type { Known } from "../../lib/document";
import { texts } from "../../lib/texts";
import type { Listed } from "../../screens";
import { variablesOf as callsOf } from "../calls/filters";
import { variablesOf } from "./period";

const known = (document: unknown) => document as Known<unknown, never>;

export const COSTS: readonly Listed[] = [
  {
    name: "costs",
    path: "costs",
    title: texts.costs.title,
    letter: "o",
    icon: "M10 2v16M14 6q-8-4-8 1 0 3 4 3t4 3q0 5-8 1",
    load: () => import("./Costs.svelte"),
    document: known(Costs),
    variables: (ws, _, query) => variablesOf(ws, query),
  },
  {
    name: "costs/budgets",
    path: "costs/budgets",
    title: texts.costs.budgets,
    load: () => import("../budgets/Budgets.svelte"),
    document: known(Budgets),
  },
  {
    name: "costs/calls",
    path: "costs/calls",
    title: texts.costs.calls,
    load: () => import("../calls/Calls.svelte"),
    document: known(ModelCalls),
    variables: (ws, _, query) => callsOf(ws, query),
  },
];
