import { EntranceChat } from "../generated/EntranceChat";
import { client } from "./client";
import { BASE } from "./router.svelte";

interface Workspace {
  slug: string;
}

const below = ({ slug }: Workspace, path = "", query = ""): string => [BASE, encodeURIComponent(slug), ...path.split("/").filter(Boolean).map(encodeURIComponent)].join("/") + query;

/** Where the parts of the account are, by the fragments of "/account". */
const ACCOUNT: Record<string, string> = { email: "sign-in", password: "sign-in", passkeys: "sign-in", identities: "sign-in", sessions: "sign-in", tokens: "tokens", pairing: "tokens" };

export const partOf = (hash: string): string => ACCOUNT[hash.slice(1)] ?? "account";

/** Where an address without a workspace leads. The chat was at "/#agent=scout&chat=…" once: such links lead to the same chat. */
export async function arrival({ pathname, search, hash }: URL, chosen: Workspace, named: (text: unknown) => Workspace | undefined): Promise<string> {
  if (pathname === "/account") {
    const part = new URLSearchParams(search).get("part") ?? partOf(hash);
    return below(chosen, hash === "#people" ? "settings" : part === "account" ? part : `account/${part}`);
  }
  const asked = new URLSearchParams(hash.length > 1 ? hash.slice(1) : search);
  const chat = asked.get("chat");
  const agent = asked.get("agent");
  if (pathname === "/terminal") {
    const slug = asked.get("workspace");
    return below(slug ? (named(slug) ?? { slug }) : chosen, agent ? `agents/${agent}/terminal` : "crews");
  }
  if (chat) {
    const { data } = await client.query(EntranceChat, { id: chat }).toPromise();
    return below(named(data?.chat?.workspaceId) ?? chosen, `chat/${chat}`);
  }
  if (agent) return below(chosen, "chat", `?${new URLSearchParams({ agent })}`);
  return below(chosen, "", search);
}
