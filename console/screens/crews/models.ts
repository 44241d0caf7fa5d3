import type { AgentChoicesQuery, CliAdapter, LlmProvider } from "../../generated/types";

/** The coding agent that fits the models of a provider. */
export const ADAPTERS: Record<string, CliAdapter> = { ANTHROPIC: "CLAUDE_CODE", OPENAI: "CODEX_CLI", GOOGLE: "GEMINI_CLI", OLLAMA: "OPENCODE" };

export interface Offers {
  provider: LlmProvider;
  models: readonly (readonly [string, string])[];
}

export const offersOf = (data: AgentChoicesQuery | undefined): Offers[] =>
  [data?.anthropic, data?.openai, data?.google]
    .filter((list) => list !== null && list !== undefined)
    .map(({ provider, models }) => ({ provider, models: models.map(({ model, displayName }) => [model, displayName ?? model] as const) }));

const nameOf = (provider: LlmProvider, model: string) => `${provider}/${model}`;

/** The model of the newest agent of the crew, else of any; else of a provider that has a key; else the first. */
export function likelyModel(data: AgentChoicesQuery | undefined, crew: string): string {
  const agents = (data?.agents?.nodes ?? []).filter(({ llmProvider, llmModel }) => llmProvider && llmModel);
  const like = agents.find((one) => one.crew?.id === crew) ?? agents[0];
  const offers = offersOf(data);
  if (like && offers.some(({ provider, models }) => provider === like.llmProvider && models.some(([model]) => model === like.llmModel))) return nameOf(like.llmProvider!, like.llmModel!);
  const keyed = new Set((data?.credentials?.nodes ?? []).filter(({ status }) => status === "ACTIVE").map(({ provider }) => provider.toUpperCase()));
  const offer = offers.find(({ provider }) => keyed.has(provider)) ?? offers[0];
  return offer?.models[0] ? nameOf(offer.provider, offer.models[0][0]) : "";
}

const RUNS: Partial<Record<CliAdapter, readonly LlmProvider[]>> = { CLAUDE_CODE: ["ANTHROPIC"], CODEX_CLI: ["OPENAI"], GEMINI_CLI: ["GOOGLE"], OPENCODE: ["OPENAI", "OLLAMA", "ANTHROPIC"] };

/** Whether the coding agent works with the provider: if not, the service works by its own loop. */
export const fits = (adapter: CliAdapter, provider: LlmProvider | null): boolean => !provider || !!RUNS[adapter]?.includes(provider);
