import { SettingsAudit } from "../../generated/SettingsAudit";
import { SettingsInvitations } from "../../generated/SettingsInvitations";
import { SettingsJournal } from "../../generated/SettingsJournal";
import { SettingsMembers } from "../../generated/SettingsMembers";
import { SettingsService } from "../../generated/SettingsService";
import { SettingsServices } from "../../generated/SettingsServices";
import { SettingsOfWorkspace } from "../../generated/SettingsOfWorkspace";
import { SettingsFlags } from "../../generated/SettingsFlags";
import { SettingsPrivacy } from "../../generated/SettingsPrivacy";
import { SettingsSystem } from "../../generated/SettingsSystem";
import type { Known } from "../../lib/document";
import { texts } from "../../lib/texts";
import type { Listed } from "../../screens";

const known = (document: unknown) => document as Known<unknown, never>;

/** Each part has an address and a document of its own. */
export const SETTINGS: readonly Listed[] = [
  {
    name: "settings",
    path: "settings",
    title: texts.settings.title,
    letter: "s",
    icon: "M3 9l7-6 7 6v8H3zM8 17v-5h4v5",
    load: () => import("./Members.svelte"),
    document: known(SettingsMembers),
  },
  {
    name: "settings/invitations",
    path: "settings/invitations",
    title: texts.settings.parts.invitations,
    load: () => import("./Invitations.svelte"),
    document: known(SettingsInvitations),
  },
  {
    name: "settings/services",
    path: "settings/services",
    title: texts.settings.parts.services,
    load: () => import("./Services.svelte"),
    document: known(SettingsServices),
  },
  {
    name: "settings/service",
    path: "settings/services/:id",
    title: texts.settings.service,
    load: () => import("./Service.svelte"),
    document: known(SettingsService),
    variables: (ws, { id }) => ({ ws, id }),
  },
  {
    name: "settings/workspace",
    path: "settings/workspace",
    title: texts.settings.parts.workspace,
    load: () => import("./Workspace.svelte"),
    document: known(SettingsOfWorkspace),
  },
  {
    name: "settings/audit",
    path: "settings/audit",
    title: texts.settings.parts.audit,
    load: () => import("./Audit.svelte"),
    document: known(SettingsAudit),
  },
  {
    name: "settings/journal",
    path: "settings/journal",
    title: texts.settings.parts.journal,
    load: () => import("./Journal.svelte"),
    document: known(SettingsJournal),
  },
  {
    name: "settings/flags",
    path: "settings/flags",
    title: texts.settings.parts.flags,
    load: () => import("./Flags.svelte"),
    document: known(SettingsFlags),
  },
  {
    name: "settings/privacy",
    path: "settings/privacy",
    title: texts.settings.parts.privacy,
    load: () => import("./Privacy.svelte"),
    document: known(SettingsPrivacy),
  },
  {
    name: "settings/system",
    path: "settings/system",
    title: texts.settings.parts.system,
    load: () => import("./System.svelte"),
    document: known(SettingsSystem),
  },
];
