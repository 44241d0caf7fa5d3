// A client on the types that openapi-typescript made: node client.js ADDRESS TOKEN WORKSPACE.
import createClient from "openapi-fetch";
import type { paths } from "./api";

declare const process: { argv: string[] };
const [, , baseUrl, token, workspace] = process.argv as [string, string, string, string, string];

const client = createClient<paths>({ baseUrl, headers: { authorization: `Bearer ${token}`, "x-workspace-id": workspace } });

async function main(): Promise<void> {
  const made = await client.POST("/api/v1/crews", { body: { name: "Fetch", slug: "fetch" } });
  const listed = await client.GET("/api/v1/crews");
  console.log(JSON.stringify({ made: made.response.status, listed: listed.data?.map((crew) => crew.slug) }));
}

// @ts-expect-error: a crew has a slug
void (() => client.POST("/api/v1/crews", { body: { name: "no slug" } }));

void main();
