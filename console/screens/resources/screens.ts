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
import { screen, type Listed } from "../../lib/listed";
import { texts } from "../../lib/texts";
import { variablesOf as credentialsOf } from "./credentials/filters";

const title = texts.resources.title;
const icon = "M3 6h14v9H3zM7 6V4h6v2M3 10h14";
const variables: Listed["variables"] = (ws, query) => ({ ...credentialsOf(ws, query) });
const ofCrew: Listed["variables"] = (ws, _query, { crew }) => ({ ws, crew });

/** Each part is a screen, with its own code and document. */
export const RESOURCES: readonly Listed[] = [
  screen("resources/credentials", title, () => import("./credentials/Credentials.svelte"), ResourcesCredentials, { letter: "e", icon, variables }),
  screen("resources", title, () => import("./credentials/Credentials.svelte"), ResourcesCredentials, { variables }),
  screen("resources/credentials/:id", texts.resources.credential, () => import("./credentials/Credential.svelte"), ResourcesCredential),
  screen("resources/integrations", title, () => import("./integrations/Integrations.svelte"), ResourcesIntegrations),
  screen("resources/integrations/:id", title, () => import("./integrations/Integration.svelte"), ResourcesIntegration),
  screen("resources/integrations/:crew/:id", title, () => import("./integrations/Integration.svelte"), ResourcesCrewServer, { variables: ofCrew }),
  screen("resources/webhooks", title, () => import("./webhooks/Webhooks.svelte"), ResourcesWebhooks),
  screen("resources/webhooks/:id", title, () => import("./webhooks/Endpoint.svelte"), ResourcesEndpoint),
  screen("resources/webhooks/agents/:id", title, () => import("./webhooks/Incoming.svelte"), ResourcesAgentWebhook),
  screen("resources/channels", title, () => import("./channels/Channels.svelte"), ResourcesChannels),
  screen("resources/skills", title, () => import("./skills/Skills.svelte"), ResourcesSkills, { variables: (ws, query) => ({ ws, search: query.get("search") ?? undefined }) }),
  screen("resources/skills/:id", title, () => import("./skills/Skill.svelte"), ResourcesSkill),
  screen("resources/skills/proposed/:crew/:file", title, () => import("./skills/Proposal.svelte"), ResourcesProposal, { variables: ofCrew }),
  screen("resources/connectors", title, () => import("./connectors/Connectors.svelte"), ResourcesConnectors),
  screen("resources/connectors/:id", title, () => import("./connectors/Connector.svelte"), ResourcesConnector),
  screen("resources/templates", title, () => import("./templates/Templates.svelte"), ResourcesTemplates),
  screen("resources/templates/:id", title, () => import("./templates/MissionTemplate.svelte"), ResourcesMissionTemplate),
  screen("resources/templates/crews/:slug", title, () => import("./templates/CrewTemplate.svelte"), ResourcesCrewTemplate),
];
