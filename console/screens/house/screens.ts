import { HouseAudit } from "../../generated/HouseAudit";
import { HouseInvitations } from "../../generated/HouseInvitations";
import { HouseJournal } from "../../generated/HouseJournal";
import { HouseMembers } from "../../generated/HouseMembers";
import { HouseService } from "../../generated/HouseService";
import { HouseServices } from "../../generated/HouseServices";
import { HouseSettings } from "../../generated/HouseSettings";
import { HouseFlags } from "../../generated/HouseFlags";
import { HousePrivacy } from "../../generated/HousePrivacy";
import { HouseSystem } from "../../generated/HouseSystem";
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
    title: texts.house.service,
    load: () => import("./Service.svelte"),
    document: known(HouseService),
    variables: (ws, { id }) => ({ ws, id }),
  },
  {
    name: "house/settings",
    path: "house/settings",
    title: texts.house.parts.settings,
    load: () => import("./Settings.svelte"),
    document: known(HouseSettings),
  },
  {
    name: "house/audit",
    path: "house/audit",
    title: texts.house.parts.audit,
    load: () => import("./Audit.svelte"),
    document: known(HouseAudit),
  },
  {
    name: "house/journal",
    path: "house/journal",
    title: texts.house.parts.journal,
    load: () => import("./Journal.svelte"),
    document: known(HouseJournal),
  },
  {
    name: "house/flags",
    path: "house/flags",
    title: texts.house.parts.flags,
    load: () => import("./Flags.svelte"),
    document: known(HouseFlags),
  },
  {
    name: "house/privacy",
    path: "house/privacy",
    title: texts.house.parts.privacy,
    load: () => import("./Privacy.svelte"),
    document: known(HousePrivacy),
  },
  {
    name: "house/system",
    path: "house/system",
    title: texts.house.parts.system,
    load: () => import("./System.svelte"),
    document: known(HouseSystem),
  },
];
