import type { SearchType } from "../generated/types";
import { router } from "./router.svelte";

interface Thing {
  type: SearchType | "budget";
  id: string;
  /** The identifier of an issue, or the slug of an agent. */
  detail?: string | null;
}

/** Where a thing is shown; nothing if no screen shows it. */
export function placeOfThing({ type, id, detail }: Thing): string | undefined {
  switch (type) {
    case "agent":
      return router.toKnown(`agents/${id}`) ?? (detail ? `/#${new URLSearchParams({ agent: detail })}` : undefined);
    case "issue":
      return detail ? router.toKnown(`issues/${detail}`) : undefined;
    case "project":
      return router.toKnown(`projects/${id}`) ?? router.toKnown("issues", { project: id });
    case "credential":
      return router.toKnown(`means/credentials/${id}`) ?? router.toKnown("means/credentials") ?? router.toKnown("means");
    case "skill":
      return router.toKnown(`means/skills/${id}`) ?? router.toKnown("means/skills") ?? router.toKnown("means");
    case "member":
      return router.toKnown("house");
    case "budget":
      return router.toKnown("costs");
    default:
      return router.toKnown(`${type === "chat" ? "chat" : `${type}s`}/${id}`);
  }
}
