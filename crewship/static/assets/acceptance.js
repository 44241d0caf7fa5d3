import { graphql } from "./api.js";

const ACCEPT = "mutation AcceptMembership($ws: ID!) { acceptMembership(workspaceId: $ws) { acceptedAt } }";

/** Of a workspace that somebody was added to, by whoever administers it. */
export const NOT_ACCEPTED = "You were added to this workspace. Until you accept, its members see only your name.";

export const accept = (workspaceId) => graphql(ACCEPT, { ws: workspaceId });
