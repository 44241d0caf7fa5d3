import { PushDevices } from "../generated/PushDevices";
import { PushPrepare } from "../generated/PushPrepare";
import { PushRegister } from "../generated/PushRegister";
import type { RegisterPushInput } from "../generated/types";
import { change, client } from "./client";
import { BASE } from "./router.svelte";

/** Why a browser shows no notifications; "ready" if it can. */
export type Ability = "ready" | "unsupported" | "insecure" | "denied" | "install";
const KEPT = "crewship.push";

/** The workspaces in which this browser was registered: it is registered anew where a session has ended. */
function kept(): string[] {
  try {
    return JSON.parse(localStorage.getItem(KEPT) ?? "[]") as string[];
  } catch {
    return [];
  }
}

function keep(workspaces: readonly string[]): void {
  try {
    if (workspaces.length) localStorage.setItem(KEPT, JSON.stringify([...new Set(workspaces)]));
    else localStorage.removeItem(KEPT);
  } catch {
    // A browser without storage is registered by hand.
  }
}

export function ability(): Ability {
  if (!isSecureContext) return "insecure";
  if (!("serviceWorker" in navigator) || !("PushManager" in globalThis) || !("Notification" in globalThis)) {
    // On iOS only installed pages receive pushes.
    return "standalone" in navigator && !navigator.standalone ? "install" : "unsupported";
  }
  return Notification.permission === "denied" ? "denied" : "ready";
}

const worker = () => navigator.serviceWorker.register(`${BASE}/sw.js`, { scope: BASE });

/** The subscription of this browser, if it has one. */
export async function present(): Promise<PushSubscription | null> {
  if (ability() !== "ready") return null;
  const found = await navigator.serviceWorker.getRegistration(BASE);
  return (await found?.pushManager.getSubscription()) ?? null;
}

/** Asks for permission and subscribes; false if the person did not allow it. */
export async function enable(ws: string, kinds?: RegisterPushInput["kinds"]): Promise<boolean> {
  if ((await Notification.requestPermission()) !== "granted") return false;
  const registration = await worker();
  await navigator.serviceWorker.ready;
  const key = bytesOf((await change(PushPrepare, {})).preparePush!.publicKey);
  let subscription = await registration.pushManager.getSubscription();
  // One to another key, or of a person who used this browser before, is no use.
  if (subscription && (!kept().length || !same(subscription.options.applicationServerKey, key))) {
    await subscription.unsubscribe();
    subscription = null;
  }
  subscription ??= await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
  await register(ws, subscription, kinds);
  return true;
}

async function register(ws: string, subscription: PushSubscription, kinds?: RegisterPushInput["kinds"]): Promise<void> {
  const { endpoint, keys } = subscription.toJSON();
  const input = { endpoint: endpoint!, p256dh: keys!.p256dh!, auth: keys!.auth!, label: labelOf(navigator.userAgent), ...(kinds && { kinds }) };
  await change(PushRegister, { ws, input });
  keep([...kept(), ws]);
}

/** This browser is not registered in a workspace any more; without any, it has no subscription. */
export async function forgotten(ws: string): Promise<void> {
  keep(kept().filter((one) => one !== ws));
  if (!kept().length) await (await present())?.unsubscribe();
}

/** Closes the notifications of a workspace that need nothing any more, as of what somebody else has decided. */
export async function closeDecided(ws: string, listed: ReadonlySet<string>): Promise<void> {
  const found = await navigator.serviceWorker.getRegistration(BASE);
  const own = `${BASE}/${encodeURIComponent(ws)}/act/`;
  for (const one of (await found?.getNotifications()) ?? []) if (String(one.data?.url ?? "").startsWith(own) && !listed.has(one.tag)) one.close();
}

/** Where this browser was registered, but with a session that has ended, it is registered anew. */
export async function renew(ws: string, known: readonly string[]): Promise<boolean> {
  if (!kept().includes(ws)) return false;
  const subscription = await present();
  if (!subscription || known.includes(subscription.endpoint)) return false;
  await register(ws, subscription);
  return true;
}

/** The same, from a screen that does not show the devices. */
export async function renewed(ws: string): Promise<void> {
  const { data } = await client.query(PushDevices, { ws }).toPromise();
  if (data?.pushSubscriptions) await renew(ws, data.pushSubscriptions.map(({ endpoint }) => endpoint));
}

/** At a sign-out: the next person to use this browser receives nothing for this one. */
export async function forget(): Promise<void> {
  keep([]);
  await (await present())?.unsubscribe();
}

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  const letters = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
}

function same(given: ArrayBuffer | null, key: Uint8Array): boolean {
  const bytes = new Uint8Array(given ?? new ArrayBuffer(0));
  return bytes.length === key.length && bytes.every((byte, at) => byte === key[at]);
}

/** "Chrome on Android": enough to tell two devices apart. */
export function labelOf(agent: string): string {
  const find = (known: readonly (readonly [RegExp, string])[], other: string) => known.find(([form]) => form.test(agent))?.[1] ?? other;
  const browser = find([[/Edg/, "Edge"], [/OPR/, "Opera"], [/Firefox|FxiOS/, "Firefox"], [/Chrome|CriOS/, "Chrome"], [/Safari/, "Safari"]], "Browser");
  const system = find([[/iPhone/, "iPhone"], [/iPad/, "iPad"], [/Android/, "Android"], [/Mac OS/, "macOS"], [/Windows/, "Windows"], [/CrOS/, "ChromeOS"], [/Linux/, "Linux"]], "");
  return system ? `${browser} on ${system}` : browser;
}
