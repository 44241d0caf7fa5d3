import { graphql } from "./api.js";
import { ask } from "./ask.js";
import { find, make, when } from "./dom.js";
import { copy, onSubmit } from "./form.js";

const TOKENS = "query Tokens { cliTokens { id name tier scopes createdAt expiresAt lastUsedAt revokedAt rotatedAt expiresSoon } }";
const CREATE = "mutation Create($input: CreateCliTokenInput!) { createCliToken(input: $input) { name token } }";
const ROTATE = "mutation Rotate($input: RotateCliTokenInput!) { rotateCliToken(input: $input) { name token } }";
const REVOKE = "mutation Revoke($input: ByIdInput!) { revokeCliToken(input: $input) { status } }";
const OVERLAPS = [[0, "at once"], [3600, "in an hour"], [86_400, "in a day"], [604_800, "in 7 days"]];

const day = (time) => new Date(time).toLocaleDateString([], { day: "numeric", month: "short", year: "numeric" });
const hasEnded = ({ revokedAt, expiresAt }) => revokedAt !== null || (expiresAt !== null && new Date(expiresAt) <= Date.now());

export async function showTokens() {
  const { cliTokens: tokens } = await graphql(TOKENS);
  const [ended, good] = [tokens.filter(hasEnded), tokens.filter((token) => !hasEnded(token))];
  find("#tokens > .rows").replaceChildren(...good.map(row));
  find("#tokens > .none").hidden = good.length > 0;
  find("#tokens .ended").hidden = ended.length === 0;
  find("#tokens .ended .rows").replaceChildren(...ended.map(row));
}

function row(token) {
  const { name, tier, scopes, createdAt, expiresAt, lastUsedAt, revokedAt, rotatedAt, expiresSoon } = token;
  const ended = hasEnded(token);
  const heading = make("strong", { text: name });
  if (tier === "ADMIN") heading.append(" ", make("span", { class: "tag", text: "admin" }));
  if (rotatedAt && !ended) heading.append(" ", make("span", { class: "tag", text: "rotated" }));
  if (expiresSoon) heading.append(" ", make("span", { class: "tag busy", text: "expires soon" }));
  const end = revokedAt ? `revoked ${when(revokedAt)}` : expiresAt ? `${ended ? "expired" : "expires"} ${day(expiresAt)}` : "never expires";
  const seen = [`created ${when(createdAt)}`, lastUsedAt ? `used ${when(lastUsedAt)}` : "never used", end].join(" · ");
  const about = make("p", {}, heading, make("span", { text: seen }));
  if (scopes.length) about.append(make("code", { text: scopes.join(" ") }));
  const buttons = make("p", { class: "row" });
  if (!ended && !rotatedAt) buttons.append(button("Rotate", token, rotate));
  if (!ended) buttons.append(button("Revoke", token, revoke));
  return make("li", {}, about, buttons);
}

function button(text, token, action) {
  const made = make("button", { type: "button", class: "quiet", text });
  made.ariaLabel = `${text} ${token.name}`;
  made.onclick = () => action(token).catch((error) => (find("#trouble").textContent = error.message));
  return made;
}

function showSecret(title, token) {
  find("#secret-title").textContent = title;
  find("#secret-value").textContent = token;
  find("#copied").textContent = "";
  find("#secret").hidden = false;
  find("#secret-title").focus();
}

async function rotate({ id, name }) {
  const options = OVERLAPS.map(([value, text]) => make("option", { value: String(value), text }));
  const fields = [make("label", { text: "The old one ends" }, make("select", { name: "overlapSeconds" }, ...options))];
  const text = "A new token replaces this one, with the same scopes and lifetime.";
  const chosen = await ask({ title: `Rotate ${name}?`, text, yes: "Rotate", fields });
  if (!chosen) return;
  const made = (await graphql(ROTATE, { input: { id, overlapSeconds: Number(chosen.overlapSeconds) } })).rotateCliToken;
  await showTokens();
  showSecret(`The new token of ${made.name}`, made.token);
}

async function revoke({ id, name }) {
  const text = "Programs that use it are refused from the next request on. This cannot be undone.";
  if (!(await ask({ title: `Revoke ${name}?`, text, yes: "Revoke", final: true }))) return;
  await graphql(REVOKE, { input: { id } });
  await showTokens();
  find("#news").textContent = "The token is revoked.";
  find("#tokens-title").focus();
}

onSubmit(find("#token-form"), async ({ name, tier, expiresInSeconds, scopes }, form) => {
  const input = { name, tier, expiresInSeconds: Number(expiresInSeconds), scopes: scopes.split(/[\s,]+/).filter(Boolean) };
  const made = (await graphql(CREATE, { input })).createCliToken;
  form.reset();
  await showTokens();
  showSecret(`The token of ${made.name}`, made.token);
});

find("#copy-secret").onclick = () => copy(find("#secret-value"), find("#copied"));
find("#secret-kept").onclick = () => {
  find("#secret-value").textContent = "";
  find("#secret").hidden = true;
  find("#tokens-title").focus();
};
