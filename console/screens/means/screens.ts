import { MeansCredential } from "../../generated/MeansCredential";
import { MeansCredentials } from "../../generated/MeansCredentials";
import type { Known } from "../../lib/document";
import { texts } from "../../lib/texts";
import type { Listed } from "../../screens";
import { variablesOf } from "./credentials/filters";

const known = (document: unknown) => document as Known<unknown, never>;
const byId = (ws: string, { id }: Record<string, string>) => ({ ws, id });
const credentials = {
  load: () => import("./credentials/Credentials.svelte"),
  document: known(MeansCredentials),
  variables: (ws: string, _parameters: Record<string, string>, query: URLSearchParams) => ({ ...variablesOf(ws, query) }),
};

/** Each part is a screen, with its own code and document. */
export const MEANS: readonly Listed[] = [
  { name: "means", path: "means/credentials", title: texts.means.title, letter: "e", icon: "M3 6h14v9H3zM7 6V4h6v2M3 10h14", ...credentials },
  { name: "means/first", path: "means", title: texts.means.title, ...credentials },
  { name: "means/credential", path: "means/credentials/:id", title: texts.means.credential, load: () => import("./credentials/Credential.svelte"), document: known(MeansCredential), variables: byId },
];
