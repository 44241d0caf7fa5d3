import { HouseInvitations } from "../../generated/HouseInvitations";
import { HouseMembers } from "../../generated/HouseMembers";
import { HouseService } from "../../generated/HouseService";
import { HouseServices } from "../../generated/HouseServices";
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
  {
    name: "house/services",
    path: "house/services",
    title: texts.house.parts.services,
    load: () => import("./Services.svelte"),
    document: known(HouseServices),
  },
  {
    name: "house/service",
    path: "house/services/:id",
    title: texts.house.services.one,
    load: () => import("./Service.svelte"),
    document: known(HouseService),
    variables: (ws, { id }) => ({ ws, id }),
  },
];
