import type { Role } from "../generated/types";

const DESCENDING: readonly Role[] = ["OWNER", "ADMIN", "MANAGER", "MEMBER", "VIEWER"];

/** Whether a role is the one that is needed, or a higher one. */
export const reaches = (role: Role, needed: string | undefined): boolean => !needed || DESCENDING.indexOf(role) <= DESCENDING.indexOf(needed.toUpperCase() as Role);
