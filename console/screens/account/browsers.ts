import { texts } from "../../lib/texts";

const BROWSERS = [["Edg/", "Edge"], ["OPR/", "Opera"], ["Firefox/", "Firefox"], ["Chrome/", "Chrome"], ["Safari/", "Safari"]] as const;
const SYSTEMS = [["iPhone", "iPhone"], ["iPad", "iPad"], ["Android", "Android"], ["Windows", "Windows"], ["Mac OS", "macOS"], ["Linux", "Linux"]] as const;
const LONGEST = 40; // characters of a name that is not known

/** "Firefox on Linux", as far as a browser tells. */
export function browserName(userAgent: string | null): string {
  const first = (pairs: readonly (readonly [string, string])[]) => pairs.find(([sign]) => userAgent?.includes(sign))?.[1];
  const [browser, system] = [first(BROWSERS), first(SYSTEMS)];
  if (browser && system) return texts.account.browserOn(browser, system);
  return browser ?? system ?? userAgent?.slice(0, LONGEST) ?? texts.account.unknownBrowser;
}
