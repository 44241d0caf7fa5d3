import type { Component } from "svelte";
import type { Known } from "./document";
import { preload } from "./read.svelte";

export const BASE = "/console";
const WORKSPACE = "crewship.workspace";
const LINGER = 60; // milliseconds over a link before its screen is read

export type Parameters = Record<string, string>;
export type Query = Record<string, string | undefined>;

/** A screen: where it is, its code, and its document, so that both load at the same time. */
export interface Screen {
  /** Below the workspace: "", "runs", "runs/:id". */
  path: string;
  /** Screens of the same word are one component, which stays while its parameters change. */
  keeps?: string;
  load: () => Promise<{ default: Component<{ parameters: Parameters }> | Component<Record<string, never>> }>;
  document?: Known<unknown, never>;
  /** Of its document, if they are not the workspace and the parameters. */
  variables?: (workspace: string, query: URLSearchParams, parameters: Parameters) => Record<string, unknown>;
}

export interface Place {
  screen: Screen | undefined;
  workspace: string | undefined;
  parameters: Parameters;
}

let screens: readonly Screen[] = [];

function matched(screen: Screen, parts: string[]): Parameters | undefined {
  const wanted = screen.path === "" ? [] : screen.path.split("/");
  if (wanted.length !== parts.length) return undefined;
  const parameters: Parameters = {};
  for (const [at, part] of wanted.entries()) {
    const given = parts[at]!;
    if (part.startsWith(":")) parameters[part.slice(1)] = given;
    else if (part !== given) return undefined;
  }
  return parameters;
}

export function placeOf(pathname: string): Place {
  const [base, ...parts] = pathname.split("/").filter(Boolean).map(decoded);
  const [workspace, ...rest] = `/${base}` === BASE ? parts : [];
  for (const screen of screens) {
    const parameters = matched(screen, rest);
    if (parameters) return { screen, workspace, parameters };
  }
  return { screen: undefined, workspace, parameters: {} };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

class Router {
  url = $state.raw(new URL(location.href));
  place = $derived(placeOf(this.url.pathname));
  query = $derived(this.url.searchParams);

  /** The address of a screen in the present workspace. */
  to(path: string, query: Query = {}): string {
    const workspace = this.place.workspace ?? remembered() ?? "";
    const given = Object.entries(query).filter((one): one is [string, string] => !!one[1]);
    const search = given.length ? `?${new URLSearchParams(given)}` : "";
    const parts = path.split("/").filter(Boolean).map(encodeURIComponent);
    return [BASE, encodeURIComponent(workspace), ...parts].join("/") + search;
  }

  /** The same, if a screen is there. */
  toKnown(path: string, query: Query = {}): string | undefined {
    const parts = path.split("/").filter(Boolean);
    return screens.some((screen) => matched(screen, parts)) ? this.to(path, query) : undefined;
  }

  go(href: string, { replace = false } = {}): void {
    const url = new URL(href, location.href);
    if (url.href === location.href) return;
    const elsewhere = url.pathname !== location.pathname;
    history[replace ? "replaceState" : "pushState"](null, "", url);
    this.url = url;
    // As after a page load, the keyboard and a screen reader begin at the content.
    if (elsewhere) requestAnimationFrame(() => document.getElementById("content")?.focus({ preventScroll: true }));
  }

  /** Changes what follows the question mark: filters are in the address. */
  filter(query: Query): void {
    const url = new URL(this.url);
    for (const [name, value] of Object.entries(query)) {
      if (value) url.searchParams.set(name, value);
      else url.searchParams.delete(name);
    }
    this.go(url.href, { replace: true });
  }
}

export const router = new Router();

export function remembered(): string | undefined {
  try {
    return localStorage.getItem(WORKSPACE) ?? undefined;
  } catch {
    return undefined;
  }
}

export function remember(workspace: string): void {
  try {
    localStorage.setItem(WORKSPACE, workspace);
  } catch {
    // A browser without storage asks for the workspace again.
  }
}

/** The variables of the document that a place reads. */
export const variablesAt = ({ screen, workspace, parameters }: Place, query: URLSearchParams): Record<string, unknown> =>
  screen?.variables?.(workspace!, query, parameters) ?? { ws: workspace, ...parameters };

/** Loads the code and the document of where an address leads. */
export function prepare(href: string): void {
  const url = new URL(href, location.href);
  const place = placeOf(url.pathname);
  const { screen, workspace } = place;
  if (!screen || !workspace) return;
  void screen.load().catch(() => {});
  if (screen.document) preload(screen.document, variablesAt(place, url.searchParams) as never);
}

const inner = (event: Event): HTMLAnchorElement | undefined => {
  const link = (event.target as Element | null)?.closest?.("a");
  if (!link || link.origin !== location.origin || link.target || link.hasAttribute("download")) return undefined;
  return link.pathname === BASE || link.pathname.startsWith(`${BASE}/`) ? link : undefined;
};

export function startRouter(known: readonly Screen[]): void {
  screens = known;
  router.url = new URL(location.href);
  prepare(location.href); // the document does not wait for the code
  addEventListener("popstate", () => (router.url = new URL(location.href)));
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = inner(event);
    if (!link) return;
    event.preventDefault();
    router.go(link.href);
  });
  let timer: ReturnType<typeof setTimeout> | undefined;
  const later = (event: Event, pause: number) => {
    clearTimeout(timer);
    const link = inner(event);
    if (link) timer = setTimeout(() => prepare(link.href), pause);
  };
  document.addEventListener("pointerover", (event) => later(event, LINGER));
  document.addEventListener("focusin", (event) => later(event, LINGER));
  document.addEventListener("pointerdown", (event) => later(event, 0));
}
