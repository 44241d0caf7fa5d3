// A client on the types that graphql-codegen made: node typed.js ENDPOINT TOKEN WORKSPACE, with the documents as JSON on the command line.
import type { CreateCrewMutation, CreateCrewMutationVariables, CrewsOfWorkspaceQuery, CrewsOfWorkspaceQueryVariables } from "./operations";
import type { RenameCrewMutation, RenameCrewMutationVariables } from "./operations";
import type { Crew, Role } from "./types";

declare const process: { argv: string[] };
const [, , endpoint, token, workspaceId, text] = process.argv as [string, string, string, string, string, string];

async function ask<Data, Variables>(operationName: string, variables: Variables): Promise<Data> {
  const answer = await fetch(endpoint, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/graphql-response+json", authorization: `Bearer ${token}` },
    body: JSON.stringify({ query: text, operationName, variables }),
  });
  const { data, errors } = (await answer.json()) as { data?: Data; errors?: { message: string }[] };
  if (errors !== undefined || data === undefined) throw new Error(JSON.stringify(errors));
  return data;
}

async function main(): Promise<void> {
  const names: (Crew["name"] | undefined)[] = [];
  for (const slug of ["alpha", "beta", "gamma"]) {
    const made = await ask<CreateCrewMutation, CreateCrewMutationVariables>("CreateCrew", { workspaceId, input: { name: slug, slug } });
    const { id, version } = made.createCrew!;
    const renamed = await ask<RenameCrewMutation, RenameCrewMutationVariables>("RenameCrew", { workspaceId, id, version, name: slug.toUpperCase() });
    names.push(renamed.updateCrew?.name);
  }
  const listed: string[] = [];
  let after: string | null = null;
  do {
    const page: CrewsOfWorkspaceQuery = await ask<CrewsOfWorkspaceQuery, CrewsOfWorkspaceQueryVariables>("CrewsOfWorkspace", { workspaceId, first: 2, after });
    listed.push(...page.crews!.nodes.map((crew) => crew.name));
    after = page.crews!.pageInfo.hasNextPage ? page.crews!.pageInfo.endCursor : null;
  } while (after !== null);
  console.log(JSON.stringify({ names, listed }));
}

// Types that were `any` would let these pass, and tsc would complain about the comments.
// @ts-expect-error: no such role
export const role: Role = "EMPEROR";
// @ts-expect-error: a crew has a slug
export const variables: CreateCrewMutationVariables = { workspaceId: "w", input: { name: "no slug" } };

void main();
