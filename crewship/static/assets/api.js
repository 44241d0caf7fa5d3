/** Why a call did not do what it was asked; status 0 when nothing answered. */
export class Refusal extends Error {
  constructor(status, message, extensions = {}) {
    super(message);
    this.status = status;
    this.extensions = extensions;
  }
}

/** The JSON of an answer; a Refusal with status 0 when nothing answered, else with the API's own reason. */
export async function call(method, path, body) {
  const headers = { Accept: "application/json", ...(body && { "Content-Type": "application/json" }) };
  let response;
  try {
    response = await fetch(path, { method, headers, credentials: "same-origin", body: body && JSON.stringify(body) });
  } catch {
    throw new Refusal(0, "The server cannot be reached.");
  }
  const answer = await response.json().catch(() => null);
  if (response.status === 429) throw new Refusal(429, "Too many attempts. Wait a minute, then try again.");
  if (!response.ok) throw new Refusal(response.status, answer?.error ?? answer?.detail ?? `${path} answered ${response.status}.`);
  if (answer === null) throw new Refusal(response.status, `${path} did not answer with JSON.`);
  return answer;
}

/** The data of a GraphQL answer without errors. When the login has ended the document hears `signed-out`, unless `quiet`. */
export async function graphql(query, variables = {}, { quiet = false } = {}) {
  const { data, errors } = await call("POST", "/graphql", { query, variables });
  if (!errors?.length) return data;
  const [{ message, extensions }] = errors;
  if (extensions?.code === "UNAUTHENTICATED" && !quiet) document.dispatchEvent(new Event("signed-out"));
  throw new Refusal(200, message, extensions);
}
