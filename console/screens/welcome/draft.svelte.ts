import { texts } from "../../lib/texts";

const KEY = "crewship.welcome"; // in this tab, until the crew is there

export type Provider = "" | "ANTHROPIC" | "OPENAI" | "OLLAMA";

/** What a person has chosen so far. A key is never kept. */
export class Draft {
  step = $state<"workspace" | "crew">("workspace");
  workspaceName = $state("");
  preferredLanguage = $state("");
  telemetryOptIn = $state(false);
  template = $state("");
  crewName = $state<string>(texts.welcome.firstCrew);
  agentName = $state("");
  provider = $state<Provider>("");

  constructor() {
    try {
      Object.assign(this, JSON.parse(sessionStorage.getItem(KEY) ?? "{}"));
    } catch {
      // A tab without storage begins with the first step.
    }
  }

  keep(): void {
    const { step, workspaceName, preferredLanguage, telemetryOptIn, template, crewName, agentName, provider } = this;
    try {
      sessionStorage.setItem(KEY, JSON.stringify({ step, workspaceName, preferredLanguage, telemetryOptIn, template, crewName, agentName, provider }));
    } catch {
      // As above.
    }
  }
}

export function forgetDraft(): void {
  try {
    sessionStorage.removeItem(KEY);
  } catch {
    // Nothing was kept.
  }
}
