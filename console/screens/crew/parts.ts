import type { Component } from "svelte";
import type { CrewHeadFragment } from "../../generated/types";

/** `again` reads the page anew, after a change that no event tells of. */
type Part = Component<{ crew: CrewHeadFragment; again: () => void }>;

/** The code of each part of the page beside its agents, loaded when the part is shown. */
export const PARTS: Record<string, () => Promise<{ default: Part }>> = {
  files: () => import("./CrewFilesPart.svelte"),
  people: () => import("./People.svelte"),
  settings: () => import("./Settings.svelte"),
  container: () => import("./Container.svelte"),
  terminal: () => import("./TerminalPart.svelte"),
  changes: () => import("../agent/Changes.svelte"),
};
