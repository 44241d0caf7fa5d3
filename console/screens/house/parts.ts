import type { HouseMembersQuery } from "../../generated/types";

export const PARTS = ["members", "invitations"] as const;
export type PartName = (typeof PARTS)[number];
export const pathOf = (part: PartName): string => (part === "members" ? "house" : `house/${part}`);

export const CAPABILITIES = ["chat", "credential.create", "credential.rotate", "issue.create", "memory.write", "routine.create", "skill.create"];
export const ASSIGNABLE = ["ADMIN", "MANAGER", "MEMBER", "VIEWER"] as const;
export type Assignable = (typeof ASSIGNABLE)[number];

export type Member = NonNullable<HouseMembersQuery["members"]>[number];
export const nameOf = (member: Member): string => member.user.fullName || member.user.email || member.userId;
