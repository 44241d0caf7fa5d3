import { graphql } from "./api.js";
import { find, make, when } from "./dom.js";

const SESSIONS = "query Sessions { sessions { id createdAt lastUsedAt userAgent ip isCurrent } }";
const REVOKE = "mutation Revoke($input: ByIdInput!) { revokeSession(input: $input) { isCurrent } }";
const BROWSERS = [["Edg/", "Edge"], ["OPR/", "Opera"], ["Firefox/", "Firefox"], ["Chrome/", "Chrome"], ["Safari/", "Safari"]];
const SYSTEMS = [["iPhone", "iPhone"], ["iPad", "iPad"], ["Android", "Android"], ["Windows", "Windows"], ["Mac OS", "macOS"], ["Linux", "Linux"]];

/** "Firefox on Linux", as far as a browser tells. */
export function browserName(userAgent) {
  const first = (pairs) => pairs.find(([sign]) => userAgent?.includes(sign))?.[1];
  const [browser, system] = [first(BROWSERS), first(SYSTEMS)];
  if (browser && system) return `${browser} on ${system}`;
  return browser ?? system ?? (userAgent ? userAgent.slice(0, 40) : "Unknown browser");
}

export async function showSessions() {
  const { sessions } = await graphql(SESSIONS);
  find("#sessions .rows").replaceChildren(...sessions.map(row));
}

function row({ id, createdAt, lastUsedAt, userAgent, ip, isCurrent }) {
  const name = make("strong", { text: browserName(userAgent), title: userAgent ?? "" });
  if (isCurrent) name.append(" ", make("span", { class: "tag good", text: "this one" }));
  const seen = [ip, `used ${when(lastUsedAt)}`, `since ${when(createdAt)}`].filter(Boolean).join(" · ");
  const button = make("button", { type: "button", class: "quiet", text: isCurrent ? "Sign out" : "Revoke" });
  button.ariaLabel = `${button.textContent}: ${browserName(userAgent)}, used ${when(lastUsedAt)}`;
  button.onclick = () => revoke(id);
  return make("li", {}, make("p", {}, name, make("span", { text: seen })), button);
}

async function revoke(id) {
  try {
    const { isCurrent } = (await graphql(REVOKE, { input: { id } })).revokeSession;
    if (isCurrent) return location.assign("/login");
    await showSessions();
    find("#news").textContent = "The session is revoked.";
    find("#sessions-title").focus();
  } catch (error) {
    find("#trouble").textContent = error.message;
  }
}
