import type { Known } from "../document";
import { doors } from "../texts.doors";

/** Why something was not done. `code`: of the GraphQL error; empty if no operation answered. `fields`: what each of the input lacks. */
export class Refusal extends Error {
  constructor(
    message: string,
    readonly code = "",
    readonly fields: Record<string, string> = {},
  ) {
    super(message);
  }
}

interface Answer<Data> {
  data?: Data | null;
  errors?: { message: string; extensions?: { code?: string; fields?: Record<string, string> } }[];
}

// Browsers send the cookies that renew a session, and those that they are known by, below this path alone.
const PATH = "/api/auth/graphql";
const NOBODY = "UNAUTHENTICATED";

async function posted<Data, Variables extends Record<string, unknown>>({ documentId }: Known<Data, Variables>, variables: Variables): Promise<Answer<Data>> {
  let response: Response;
  try {
    response = await fetch(PATH, {
      method: "POST",
      credentials: "same-origin",
      headers: { accept: "application/graphql-response+json", "content-type": "application/json" },
      body: JSON.stringify({ documentId, variables }),
    });
  } catch {
    throw new Refusal(doors.unreachable);
  }
  if (response.status === 429) throw new Refusal(doors.tooMany);
  if (response.status === 404) throw new Refusal(doors.outdated);
  const answer = (await response.json().catch(() => null)) as Answer<Data> | null;
  if (!answer?.data && !answer?.errors?.length) throw new Refusal(doors.answered(response.status));
  return answer;
}

function refusal({ errors }: Answer<unknown>, admitted?: string): Refusal | undefined {
  const error = errors?.find(({ extensions }) => !admitted || extensions?.code !== admitted);
  if (!error) return undefined;
  const { code, fields } = error.extensions ?? {};
  return new Refusal(code === "RATE_LIMITED" ? doors.tooMany : error.message, code, fields);
}

/** The answer of a document; throws a Refusal. */
export async function send<Data, Variables extends Record<string, unknown>>(document: Known<Data, Variables>, variables: Variables): Promise<Data> {
  const answer = await posted(document, variables);
  const refused = refusal(answer);
  if (refused) throw refused;
  return answer.data!;
}

/** The same of a query that is asked before it is known whether somebody is signed in: what only they may read is null. */
export async function read<Data, Variables extends Record<string, unknown>>(document: Known<Data, Variables>, variables: Variables): Promise<Data> {
  const answer = await posted(document, variables);
  const refused = refusal(answer, NOBODY);
  if (refused) throw refused;
  return answer.data!;
}
