import { HouseInvitations } from "../../generated/HouseInvitations";
import { HouseMembers } from "../../generated/HouseMembers";
import type { Known } from "../../lib/document";
import { texts } from "../../lib/texts";
import type { Listed } from "../../screens";

const known = (document: unknown) => document as Known<unknown, never>;

/** Each part has an address and a document of its own. */
export const HOUSE: readonly Listed[] = [
  {
    name: "house",
    path: "house",
    title: texts.house.title,
    letter: "s",
    icon: "M3 9l7-6 7 6v8H3zM8 17v-5h4v5",
    load: () => import("./Members.svelte"),
    document: known(HouseMembers),
  },
  {
    name: "house/invitations",
    path: "house/invitations",
    title: texts.house.parts.invitations,
    load: () => import("./Invitations.svelte"),
    document: known(HouseInvitations),
  },
];
