import type { SearchType } from "../generated/types";
import { named } from "./addressed";
import { router } from "./router.svelte";

interface Thing {
  type: SearchType | "budget";
  id: string;
  /** The identifier of an issue, also for a comment on it, or the slug of an agent, a crew or a project. */
  detail?: string | null;
}

/** Where a thing is shown; nothing if no screen shows it. */
export function placeOfThing({ type, id, detail }: Thing): string | undefined {
  switch (type) {
    case "agent":
      return router.toKnown(`agents/${named({ id, slug: detail ?? id })}`) ?? (detail ? `/#${new URLSearchParams({ agent: detail })}` : undefined);
    case "issue":
    case "comment":
      return detail ? router.toKnown(`issues/${detail}`) : undefined;
    case "crew":
      return router.toKnown(`crews/${named({ id, slug: detail ?? id })}`);
    case "project":
      return router.toKnown(`issues/projects/${named({ id, slug: detail ?? id })}`) ?? router.toKnown("issues", { project: id });
    case "credential":
      return router.toKnown(`resources/credentials/${id}`) ?? router.toKnown("resources/credentials") ?? router.toKnown("resources");
    case "skill":
      return router.toKnown(`resources/skills/${id}`) ?? router.toKnown("resources/skills") ?? router.toKnown("resources");
    case "member":
      return router.toKnown("settings");
    case "budget":
      return router.toKnown("costs");
    default:
      return router.toKnown(`${type === "chat" ? "chat" : `${type}s`}/${id}`);
  }
}
