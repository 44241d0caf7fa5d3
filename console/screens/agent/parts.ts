import type { Component } from "svelte";
import type { AgentHeadFragment, AgentPageQuery } from "../../generated/types";
import { router } from "../../lib/router.svelte";
import { texts } from "../../lib/texts";
import { daysBack } from "../costs/period";

/** An agent, with what each day has cost where the viewer may know it. */
export type Known = AgentHeadFragment & { costs?: NonNullable<AgentPageQuery["money"]>["costs"] };
type Part = Component<{ agent: Known }>;

const SUMMED = 30; // days of the costs of an agent

/** Where the calls behind the costs of an agent are. */
export const callsOf = ({ id }: { id: string }): string => router.to("costs/calls", { agent: id, since: daysBack(SUMMED), until: daysBack(1) });

/** The code of each part of the page, loaded when the part is shown. */
export const PARTS: Record<string, () => Promise<{ default: Part }>> = {
  overview: () => import("./Overview.svelte"),
  runs: () => import("./Runs.svelte"),
  resources: () => import("./Resources.svelte"),
  limits: () => import("./Limits.svelte"),
  memory: () => import("./Memory.svelte"),
  changes: () => import("./Changes.svelte"),
  terminal: () => import("./TerminalPart.svelte"),
  folder: () => import("./Folder.svelte"),
};

export const tabsOf = (id: string) => Object.entries(texts.agent.parts).map(([name, text]) => ({ name, text, href: router.to(`agents/${id}/${name}`) }));
