import { AgentNamed } from "../../generated/AgentNamed";
import { CrewNamed } from "../../generated/CrewNamed";
import { client } from "../../lib/client";
import { router } from "../../lib/router.svelte";

/** People type names into addresses, and programs write ids: a name leads to the address with the id. */
export async function findByName(kind: "agents" | "crews", ws: string, slug: string, part?: string): Promise<void> {
  const found = kind === "agents" ? (await client.query(AgentNamed, { ws, slug }).toPromise()).data?.agentBySlug : (await client.query(CrewNamed, { ws, slug }).toPromise()).data?.crewBySlug;
  if (found) router.go(router.to([kind, found.id, part].filter(Boolean).join("/")), { replace: true });
}
