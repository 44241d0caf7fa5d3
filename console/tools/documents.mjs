// Checks the documents of all screens against the schema, and writes what the code imports: their types, and the id of each, by which the
// service knows its text. `screens/now/now.graphql` with the operation `Now` becomes `generated/Now.ts`.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { codegen } from "@graphql-codegen/core";
import * as operations from "@graphql-codegen/typescript-operations";
import { Kind, parse, print, stripIgnoredCharacters, visit } from "graphql";

const HERE = fileURLToPath(new URL("..", import.meta.url));
const SCHEMA = process.env.CONSOLE_SCHEMA ?? join(HERE, "../schema/schema.graphql");
const GENERATED = join(HERE, "generated");
const NAME = 32; // digits of a hash that name a document: the scripts before the first screen have many of them
const SCALARS = { ID: "string", DateTime: "string", Date: "string", JSON: "unknown", Void: "null", Upload: "never" };
const KINDS = { query: "Query", mutation: "Mutation", subscription: "Subscription" };
const TYPENAME = { kind: Kind.FIELD, name: { kind: Kind.NAME, value: "__typename" } };

/** The files with documents below a folder, in an order that no file system decides. */
function files(folder) {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".graphql"))
    .sort()
    .map((name) => join(folder, name));
}

/** Names the type of each object that is read: the cache finds by it what a mutation has changed. */
function withTypenames(document) {
  return visit(document, {
    SelectionSet(node, _key, parent) {
      if (parent?.kind === Kind.OPERATION_DEFINITION) return undefined;
      const named = node.selections.some((one) => one.kind === Kind.FIELD && one.name.value === "__typename" && !one.alias);
      return named ? undefined : { ...node, selections: [TYPENAME, ...node.selections] };
    },
  });
}

/** The names of the fragments that a definition needs, those within fragments included. */
function needed(definition, fragments, found = new Set()) {
  visit(definition, {
    FragmentSpread({ name }) {
      if (found.has(name.value)) return;
      found.add(name.value);
      const fragment = fragments.get(name.value);
      if (!fragment) throw new Error(`no file defines the fragment ${name.value}`);
      needed(fragment, fragments, found);
    },
  });
  return found;
}

/** Writes `generated/`; returns the manifest: sha256 → text. */
export async function writeDocuments() {
  const documents = ["lib", "screens"]
    .filter((folder) => existsSync(join(HERE, folder)))
    .flatMap((folder) => files(join(HERE, folder)))
    .map((location) => ({ location: relative(HERE, location), document: withTypenames(parse(readFileSync(location, "utf8"))) }));
  const types = await codegen({
    filename: "generated/types.ts",
    schema: parse(readFileSync(SCHEMA, "utf8")),
    documents,
    config: { strictScalars: true, scalars: SCALARS, enumType: "string-literal", useTypeImports: true, skipTypeNameForRoot: true, nonOptionalTypename: true, defaultScalarType: "unknown" },
    plugins: [{ operations: {} }],
    pluginMap: { operations },
  });
  rmSync(GENERATED, { recursive: true, force: true });
  mkdirSync(GENERATED);
  writeFileSync(join(GENERATED, "types.ts"), types);
  const definitions = documents.flatMap(({ document }) => document.definitions);
  const fragments = new Map(definitions.filter(({ kind }) => kind === Kind.FRAGMENT_DEFINITION).map((one) => [one.name.value, one]));
  const manifest = {};
  for (const definition of definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION)) {
    const name = definition.name.value;
    const parts = [definition, ...[...needed(definition, fragments)].sort().map((fragment) => fragments.get(fragment))];
    const text = stripIgnoredCharacters(parts.map(print).join("\n"));
    const id = createHash("sha256").update(text).digest("hex");
    manifest[id] = text;
    const typed = `${name}${KINDS[definition.operation]}`;
    writeFileSync(
      join(GENERATED, `${name}.ts`),
      `import { document } from "../lib/document";\nimport type { ${typed}, ${typed}Variables } from "./types";\n\n` +
        `export const ${name} = document<${typed}, ${typed}Variables>("${id.slice(0, NAME)}");\n`,
    );
  }
  return Object.fromEntries(Object.entries(manifest).sort(([a], [b]) => (a < b ? -1 : 1)));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await writeDocuments();
