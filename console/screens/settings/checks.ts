import type { SettingsSystemQuery } from "../../generated/types";
import { texts } from "../../lib/texts";
import { count } from "../../lib/time.svelte";

export interface Check {
  name: string;
  text: string;
  tone: "good" | "warn" | "bad" | "quiet";
}

const says = texts.system;
const FULL = 90; // percent of a disk
const gigabytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

/** What the service says of itself, each with whether a person should act. What the viewer may not see is left out. */
export function checksOf({ version, engine, adminHealth, runtime, keeperStatus }: SettingsSystemQuery): Check[] {
  const checks: Check[] = [];
  if (version) checks.push({ name: says.version, tone: version.newer ? "warn" : "good", text: version.newer ? says.newer(version.current, version.latest ?? "") : version.current });
  if (engine) checks.push({ name: says.engine, tone: engine.status === "running" || engine.status === "ok" ? "good" : "quiet", text: says.engineText(engine.status, engine.uptime, count(engine.connections)) });
  if (adminHealth) {
    const { path, usedPct, freeBytes, error } = adminHealth.disk;
    checks.push({ name: says.disk, tone: error ? "bad" : (usedPct ?? 0) >= FULL ? "bad" : "good", text: error ?? says.diskText(path, gigabytes(freeBytes ?? 0), (usedPct ?? 0).toFixed(0)) });
  }
  if (runtime) {
    checks.push({ name: says.runtime, tone: runtime.available ? "good" : "warn", text: runtime.available ? [runtime.runtime, runtime.version].filter(Boolean).join(" ") : says.noRuntime });
    for (const agent of runtime.codingAgents) {
      checks.push({ name: agent.name, tone: agent.installed ? "good" : "quiet", text: agent.installed ? (agent.version ?? says.installed) : [agent.missing, agent.fix].filter(Boolean).join(" · ") });
    }
  }
  if (keeperStatus) {
    const { enabled, ollamaOnline, model, totalRequests, allowCount, denyCount, escalateCount } = keeperStatus;
    checks.push({ name: says.keeper, tone: !enabled ? "quiet" : ollamaOnline ? "good" : "warn", text: enabled ? `${model ?? ""} ${says.judged(count(totalRequests), count(allowCount), count(denyCount), count(escalateCount))}`.trim() : says.keeperOff });
  }
  return checks;
}
