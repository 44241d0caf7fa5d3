import type { Component } from "svelte";
import type { AgentHeadFragment } from "../../generated/types";
import { router } from "../../lib/router.svelte";
import * as words from "../../lib/texts.crews";

type Part = Component<{ agent: AgentHeadFragment }>;

/** The code of each part of the page, loaded when the part is shown. */
export const PARTS: Record<string, () => Promise<{ default: Part }>> = {
  overview: () => import("./Overview.svelte"),
  runs: () => import("./Runs.svelte"),
  means: () => import("./Means.svelte"),
  limits: () => import("./Limits.svelte"),
  memory: () => import("./Memory.svelte"),
  changes: () => import("./Changes.svelte"),
  folder: () => import("./Folder.svelte"),
};

export const tabsOf = (id: string) => Object.entries(words.agent.parts).map(([name, text]) => ({ name, text, href: router.to(`agents/${id}/${name}`) }));
