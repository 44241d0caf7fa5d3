import { SettingsAudit } from "../../generated/SettingsAudit";
import { SettingsFlags } from "../../generated/SettingsFlags";
import { SettingsInvitations } from "../../generated/SettingsInvitations";
import { SettingsJournal } from "../../generated/SettingsJournal";
import { SettingsMembers } from "../../generated/SettingsMembers";
import { SettingsOfWorkspace } from "../../generated/SettingsOfWorkspace";
import { SettingsPrivacy } from "../../generated/SettingsPrivacy";
import { SettingsService } from "../../generated/SettingsService";
import { SettingsServices } from "../../generated/SettingsServices";
import { SettingsSystem } from "../../generated/SettingsSystem";
import { screen, type Listed } from "../../lib/listed";
import { texts } from "../../lib/texts";

const icon = "M3 9l7-6 7 6v8H3zM8 17v-5h4v5";
const { parts } = texts.settings;

/** Each part has an address and a document of its own. */
export const SETTINGS: readonly Listed[] = [
  screen("settings", texts.settings.title, () => import("./Members.svelte"), SettingsMembers, { letter: "s", icon }),
  screen("settings/invitations", parts.invitations, () => import("./Invitations.svelte"), SettingsInvitations),
  screen("settings/services", parts.services, () => import("./Services.svelte"), SettingsServices),
  screen("settings/services/:id", texts.settings.service, () => import("./Service.svelte"), SettingsService),
  screen("settings/workspace", parts.workspace, () => import("./Workspace.svelte"), SettingsOfWorkspace),
  screen("settings/audit", parts.audit, () => import("./Audit.svelte"), SettingsAudit),
  screen("settings/journal", parts.journal, () => import("./Journal.svelte"), SettingsJournal),
  screen("settings/flags", parts.flags, () => import("./Flags.svelte"), SettingsFlags),
  screen("settings/privacy", parts.privacy, () => import("./Privacy.svelte"), SettingsPrivacy),
  screen("settings/system", parts.system, () => import("./System.svelte"), SettingsSystem),
];
