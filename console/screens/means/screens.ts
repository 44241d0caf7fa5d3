import { MeansCredential } from "../../generated/MeansCredential";
import { MeansCredentials } from "../../generated/MeansCredentials";
import { MeansAgentWebhook } from "../../generated/MeansAgentWebhook";
import { MeansChannels } from "../../generated/MeansChannels";
import { MeansCrewServer } from "../../generated/MeansCrewServer";
import { MeansEndpoint } from "../../generated/MeansEndpoint";
import { MeansIntegration } from "../../generated/MeansIntegration";
import { MeansIntegrations } from "../../generated/MeansIntegrations";
import { MeansWebhooks } from "../../generated/MeansWebhooks";
import { MeansSkills } from "../../generated/MeansSkills";
import { MeansSkill } from "../../generated/MeansSkill";
import { MeansProposal } from "../../generated/MeansProposal";
import { MeansConnectors } from "../../generated/MeansConnectors";
import { MeansConnector } from "../../generated/MeansConnector";
import { MeansTemplates } from "../../generated/MeansTemplates";
import { MeansMissionTemplate } from "../../generated/MeansMissionTemplate";
import { MeansCrewTemplate } from "../../generated/MeansCrewTemplate";
import type { Known } from "../../lib/document";
import { texts } from "../../lib/texts";
import type { Listed } from "../../screens";
import { variablesOf } from "./credentials/filters";

const title = texts.means.title;
const known = (document: unknown) => document as Known<unknown, never>;
const byId = (ws: string, { id }: Record<string, string>) => ({ ws, id });
const credentials = {
  load: () => import("./credentials/Credentials.svelte"),
  document: known(MeansCredentials),
  variables: (ws: string, _parameters: Record<string, string>, query: URLSearchParams) => ({ ...variablesOf(ws, query) }),
};

/** Each part is a screen, with its own code and document. */
export const MEANS: readonly Listed[] = [
  { name: "means", path: "means/credentials", title, letter: "e", icon: "M3 6h14v9H3zM7 6V4h6v2M3 10h14", ...credentials },
  { name: "means/first", path: "means", title, ...credentials },
  { name: "means/credential", path: "means/credentials/:id", title: texts.means.credential, load: () => import("./credentials/Credential.svelte"), document: known(MeansCredential), variables: byId },
  { name: "means/integrations", path: "means/integrations", title, load: () => import("./integrations/Integrations.svelte"), document: known(MeansIntegrations) },
  { name: "means/integration", path: "means/integrations/:id", title, load: () => import("./integrations/Integration.svelte"), document: known(MeansIntegration), variables: byId },
  { name: "means/crew-server", path: "means/integrations/:crew/:id", title, load: () => import("./integrations/Integration.svelte"), document: known(MeansCrewServer), variables: (ws, { crew }) => ({ ws, crew }) },
  { name: "means/webhooks", path: "means/webhooks", title, load: () => import("./webhooks/Webhooks.svelte"), document: known(MeansWebhooks) },
  { name: "means/endpoint", path: "means/webhooks/:id", title, load: () => import("./webhooks/Endpoint.svelte"), document: known(MeansEndpoint), variables: byId },
  { name: "means/incoming", path: "means/webhooks/agents/:id", title, load: () => import("./webhooks/Incoming.svelte"), document: known(MeansAgentWebhook), variables: byId },
  { name: "means/channels", path: "means/channels", title, load: () => import("./channels/Channels.svelte"), document: known(MeansChannels) },
  { name: "means/skills", path: "means/skills", title, load: () => import("./skills/Skills.svelte"), document: known(MeansSkills), variables: (ws, _parameters, query) => ({ ws, search: query.get("search") ?? undefined }) },
  { name: "means/skill", path: "means/skills/:id", title, load: () => import("./skills/Skill.svelte"), document: known(MeansSkill), variables: byId },
  { name: "means/proposal", path: "means/skills/proposed/:crew/:file", title, load: () => import("./skills/Proposal.svelte"), document: known(MeansProposal), variables: (ws, { crew }) => ({ ws, crew }) },
  { name: "means/connectors", path: "means/connectors", title, load: () => import("./connectors/Connectors.svelte"), document: known(MeansConnectors) },
  { name: "means/connector", path: "means/connectors/:id", title, load: () => import("./connectors/Connector.svelte"), document: known(MeansConnector), variables: byId },
  { name: "means/templates", path: "means/templates", title, load: () => import("./templates/Templates.svelte"), document: known(MeansTemplates) },
  { name: "means/template", path: "means/templates/:id", title, load: () => import("./templates/MissionTemplate.svelte"), document: known(MeansMissionTemplate), variables: byId },
  { name: "means/crew-template", path: "means/templates/crews/:slug", title, load: () => import("./templates/CrewTemplate.svelte"), document: known(MeansCrewTemplate), variables: (ws, { slug }) => ({ ws, slug }) },
];
