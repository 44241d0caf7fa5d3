import { pressKey } from "./keys.svelte";
import { router } from "./router.svelte";
import { texts } from "./texts";

/** What a person can begin from anywhere: the mutation that it needs, and the screen with its form, which a key opens. */
export interface Beginning {
  operation: keyof typeof texts.palette.acts;
  path: string;
  key?: string;
  query?: Record<string, string>;
}

export const BEGINNINGS: readonly Beginning[] = [
  { operation: "createIssue", path: "issues", key: "c" },
  { operation: "createChat", path: "chat", query: { new: "1" } },
  { operation: "createAgent", path: "crews", key: "n" },
  { operation: "createCrew", path: "crews" },
  { operation: "createMission", path: "missions", key: "n" },
  { operation: "createCredential", path: "resources/credentials", key: "n" },
  { operation: "createBudget", path: "costs", key: "n" },
  { operation: "createInvitation", path: "settings/invitations", key: "n" },
];

export function begin({ path, key, query }: Beginning): void {
  router.go(router.to(path, query));
  if (key) pressKey(key);
}
