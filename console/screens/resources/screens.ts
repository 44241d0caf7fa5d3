import { ResourcesCredential } from "../../generated/ResourcesCredential";
import { ResourcesCredentials } from "../../generated/ResourcesCredentials";
import { ResourcesAgentWebhook } from "../../generated/ResourcesAgentWebhook";
import { ResourcesChannels } from "../../generated/ResourcesChannels";
import { ResourcesCrewServer } from "../../generated/ResourcesCrewServer";
import { ResourcesEndpoint } from "../../generated/ResourcesEndpoint";
import { ResourcesIntegration } from "../../generated/ResourcesIntegration";
import { ResourcesIntegrations } from "../../generated/ResourcesIntegrations";
import { ResourcesWebhooks } from "../../generated/ResourcesWebhooks";
import { ResourcesSkills } from "../../generated/ResourcesSkills";
import { ResourcesSkill } from "../../generated/ResourcesSkill";
import { ResourcesProposal } from "../../generated/ResourcesProposal";
import { ResourcesConnectors } from "../../generated/ResourcesConnectors";
import { ResourcesConnector } from "../../generated/ResourcesConnector";
import { ResourcesTemplates } from "../../generated/ResourcesTemplates";
import { ResourcesMissionTemplate } from "../../generated/ResourcesMissionTemplate";
import { ResourcesCrewTemplate } from "../../generated/ResourcesCrewTemplate";
import type { Known } from "../../lib/document";
import { texts } from "../../lib/texts";
import type { Listed } from "../../screens";
import { variablesOf } from "./credentials/filters";

const title = texts.resources.title;
const known = (document: unknown) => document as Known<unknown, never>;
const byId = (ws: string, { id }: Record<string, string>) => ({ ws, id });
const credentials = {
  load: () => import("./credentials/Credentials.svelte"),
  document: known(ResourcesCredentials),
  variables: (ws: string, _parameters: Record<string, string>, query: URLSearchParams) => ({ ...variablesOf(ws, query) }),
};

/** Each part is a screen, with its own code and document. */
export const RESOURCES: readonly Listed[] = [
  { name: "resources", path: "resources/credentials", title, letter: "e", icon: "M3 6h14v9H3zM7 6V4h6v2M3 10h14", ...credentials },
  { name: "resources/first", path: "resources", title, ...credentials },
  { name: "resources/credential", path: "resources/credentials/:id", title: texts.resources.credential, load: () => import("./credentials/Credential.svelte"), document: known(ResourcesCredential), variables: byId },
  { name: "resources/integrations", path: "resources/integrations", title, load: () => import("./integrations/Integrations.svelte"), document: known(ResourcesIntegrations) },
  { name: "resources/integration", path: "resources/integrations/:id", title, load: () => import("./integrations/Integration.svelte"), document: known(ResourcesIntegration), variables: byId },
  { name: "resources/crew-server", path: "resources/integrations/:crew/:id", title, load: () => import("./integrations/Integration.svelte"), document: known(ResourcesCrewServer), variables: (ws, { crew }) => ({ ws, crew }) },
  { name: "resources/webhooks", path: "resources/webhooks", title, load: () => import("./webhooks/Webhooks.svelte"), document: known(ResourcesWebhooks) },
  { name: "resources/endpoint", path: "resources/webhooks/:id", title, load: () => import("./webhooks/Endpoint.svelte"), document: known(ResourcesEndpoint), variables: byId },
  { name: "resources/incoming", path: "resources/webhooks/agents/:id", title, load: () => import("./webhooks/Incoming.svelte"), document: known(ResourcesAgentWebhook), variables: byId },
  { name: "resources/channels", path: "resources/channels", title, load: () => import("./channels/Channels.svelte"), document: known(ResourcesChannels) },
  { name: "resources/skills", path: "resources/skills", title, load: () => import("./skills/Skills.svelte"), document: known(ResourcesSkills), variables: (ws, _parameters, query) => ({ ws, search: query.get("search") ?? undefined }) },
  { name: "resources/skill", path: "resources/skills/:id", title, load: () => import("./skills/Skill.svelte"), document: known(ResourcesSkill), variables: byId },
  { name: "resources/proposal", path: "resources/skills/proposed/:crew/:file", title, load: () => import("./skills/Proposal.svelte"), document: known(ResourcesProposal), variables: (ws, { crew }) => ({ ws, crew }) },
  { name: "resources/connectors", path: "resources/connectors", title, load: () => import("./connectors/Connectors.svelte"), document: known(ResourcesConnectors) },
  { name: "resources/connector", path: "resources/connectors/:id", title, load: () => import("./connectors/Connector.svelte"), document: known(ResourcesConnector), variables: byId },
  { name: "resources/templates", path: "resources/templates", title, load: () => import("./templates/Templates.svelte"), document: known(ResourcesTemplates) },
  { name: "resources/template", path: "resources/templates/:id", title, load: () => import("./templates/MissionTemplate.svelte"), document: known(ResourcesMissionTemplate), variables: byId },
  { name: "resources/crew-template", path: "resources/templates/crews/:slug", title, load: () => import("./templates/CrewTemplate.svelte"), document: known(ResourcesCrewTemplate), variables: (ws, { slug }) => ({ ws, slug }) },
];
