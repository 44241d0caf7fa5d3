import { graphql } from "./api.js";
import { find } from "./dom.js";
import { onSubmit } from "./form.js";

const SHOW = `mutation Show($input: ByTokenInput!) {
  openDecisionLink(input: $input) { title text tool arguments agentName workspaceName userName expiresAt }
}`;
const DECIDE = "mutation Decide($input: DecideByLinkInput!) { decideByLink(input: $input) { decision } }";

// behind the #, so that it is in no request for this page; nor is it left to whoever reads the address
const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
history.replaceState(null, "", location.pathname);

function close(message) {
  find("#question").hidden = find("#decision-form").hidden = true;
  find("#closed").hidden = find("#elsewhere").hidden = false;
  find("#closed").textContent = message;
}

function show({ title, text, tool, arguments: given, agentName, workspaceName, userName, expiresAt }) {
  find("#decision-title").textContent = title;
  find("#asked-by").textContent = `Asked ${agentName ? `by ${agentName} ` : ""}in ${workspaceName}.`;
  find("#text").textContent = text;
  find("#text").hidden = !text;
  find("#call").hidden = !tool;
  find("#tool").textContent = tool ?? "";
  find("#arguments").hidden = !tool;
  find("#arguments").textContent = JSON.stringify(given ?? {}, null, 2);
  const until = new Date(expiresAt).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  find("#as").textContent = `You decide as ${userName}, once, until ${until}.`;
  find("#question").hidden = false;
}

async function decide({ comment, decision }, form) {
  try {
    await graphql(DECIDE, { input: { token, decision, comment } }, { quiet: true });
  } catch (error) {
    // what is wrong with the comment can be mended; of a link that is used or over nothing can
    if (error.extensions?.fields || error.status !== 200) throw error;
    return close(error.message);
  }
  form.hidden = true;
  find("#done").hidden = find("#elsewhere").hidden = false;
  find("#done").textContent = decision === "approve" ? "Approved. The waiting work continues." : "Rejected. The action is not carried out.";
  find("#decision-title").focus();
}

try {
  const { openDecisionLink } = token ? await graphql(SHOW, { input: { token } }, { quiet: true }) : {};
  if (!openDecisionLink) throw new Error("This page is opened by a link with a token. Open the link again.");
  show(openDecisionLink);
  const form = find("#decision-form");
  for (const button of form.querySelectorAll("button")) {
    button.addEventListener("click", () => { form.elements.decision.value = button.value; });
  }
  onSubmit(form, decide);
} catch (error) {
  close(error.message);
}
