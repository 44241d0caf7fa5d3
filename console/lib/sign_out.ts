import { DoorSignOut } from "../generated/DoorSignOut";
import { change } from "./client";

/** Ends the session, and leads to the sign-in. This browser receives no more notifications. */
export async function signOut(): Promise<void> {
  await import("./push").then(({ forget }) => forget()).catch(() => {});
  await change(DoorSignOut, {});
  location.assign("/login");
}
