import type { Component } from "svelte";

type Loading = Promise<{ default: Component<Record<string, never>> }>;

/** Screens outside of workspaces, by their addresses: the service answers at each with the page of the console. */
const SCREENS: Record<string, () => Loading> = {
  "/welcome": () => import("./screens/welcome/Welcome.svelte"),
};

export const screenAt = (pathname: string): Loading => (SCREENS[pathname] ?? (() => import("./lib/Entrance.svelte")))();
