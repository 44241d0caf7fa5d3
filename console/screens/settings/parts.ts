import type { SettingsAuditQuery, SettingsFlagsQuery, SettingsJournalQuery, SettingsMembersQuery, SettingsPrivacyQuery, SettingsOfWorkspaceQuery } from "../../generated/types";

export const PARTS = ["members", "invitations", "services", "workspace", "flags", "privacy", "audit", "journal", "system"] as const;
export type PartName = (typeof PARTS)[number];
export const pathOf = (part: PartName): string => (part === "members" ? "settings" : `settings/${part}`);

export const CAPABILITIES = ["chat", "credential.create", "credential.rotate", "issue.create", "memory.write", "routine.create", "skill.create"];
/** The highest first. */
export const ROLES = ["OWNER", "ADMIN", "MANAGER", "MEMBER", "VIEWER"] as const;
export const ASSIGNABLE = ["ADMIN", "MANAGER", "MEMBER", "VIEWER"] as const;
export type Assignable = (typeof ASSIGNABLE)[number];

export type Member = NonNullable<SettingsMembersQuery["members"]>[number];
export const nameOf = ({ userId, user }: { userId: string; user: { fullName: string | null; email: string } }): string => user.fullName || user.email || userId;

export type Flag = NonNullable<SettingsFlagsQuery["featureFlags"]>[number];
export type Kept = NonNullable<SettingsPrivacyQuery["retention"]>[number];
export type Gate = NonNullable<SettingsOfWorkspaceQuery["approvalGates"]>["nodes"][number];
export type JournalRow = NonNullable<SettingsJournalQuery["journal"]>["nodes"][number];
export const TONES = { info: "quiet", notice: "busy", warn: "warn", error: "bad" } as const;

export type Entry = NonNullable<SettingsAuditQuery["auditLog"]>["nodes"][number];
export const actorOf = ({ userName, userEmail, actorType, actorId }: Entry): string => userName ?? userEmail ?? [actorType, actorId].filter(Boolean).join(" ");

const lines = (sign: string, value: unknown): string[] =>
  value === null || value === undefined ? [] : (typeof value === "string" ? value : JSON.stringify(value, null, 2)).split("\n").map((line) => sign + line);

/** What each field was and became, as a diff; empty where no field changed. */
export function diffOf(changes: unknown): string {
  if (!Array.isArray(changes)) return "";
  const fields = changes as { field: string; before?: unknown; after?: unknown }[];
  return fields.map(({ field, before, after }) => [`@@ ${field} @@`, ...lines("-", before), ...lines("+", after)].join("\n")).join("\n");
}

/** A token of a person or of a service account, without its value. */
export interface Token {
  id: string;
  name: string;
  tier?: "STANDARD" | "ADMIN";
  createdAt: string;
  expiresAt: string | null;
  lastUsedAt: string | null;
  revokedAt: string | null;
  rotatedAt: string | null;
  scopes: readonly string[];
  expiresSoon: boolean;
}
export interface TokenWanted {
  name: string;
  expiresInSeconds: number;
  tier: "STANDARD" | "ADMIN";
  scopes: string[];
}
