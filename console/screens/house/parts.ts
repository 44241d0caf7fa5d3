import type { HouseMembersQuery } from "../../generated/types";

export const PARTS = ["members", "invitations", "services"] as const;
export type PartName = (typeof PARTS)[number];
export const pathOf = (part: PartName): string => (part === "members" ? "house" : `house/${part}`);

export const CAPABILITIES = ["chat", "credential.create", "credential.rotate", "issue.create", "memory.write", "routine.create", "skill.create"];
export const ASSIGNABLE = ["ADMIN", "MANAGER", "MEMBER", "VIEWER"] as const;
export type Assignable = (typeof ASSIGNABLE)[number];

export type Member = NonNullable<HouseMembersQuery["members"]>[number];
export const nameOf = (member: Member): string => member.user.fullName || member.user.email || member.userId;

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
