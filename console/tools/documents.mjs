// Checks the documents of all screens against the schema, and writes what the code imports: their types, and the id of each, by which the
// service knows its text. `screens/now/now.graphql` with the operation `Now` becomes `generated/Now.ts`.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { codegen } from "@graphql-codegen/core";
import * as operations from "@graphql-codegen/typescript-operations";
import { Kind, parse, print, stripIgnoredCharacters, visit } from "graphql";
import { formsOf } from "./forms.mjs";

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

/** What the first sentence of its description says that a mutation does. */
function deeds(schema) {
  const mutation = schema.definitions.find(({ kind, name }) => kind === Kind.OBJECT_TYPE_DEFINITION && name.value === "Mutation");
  return new Map(mutation.fields.map(({ name, description }) => [name.value, description.value.split(/\.\s|\.$/)[0].replaceAll("\n", " ")]));
}

const CODE = join(HERE, "screens");
const IMPORT = /(?:from |import\()"(\.[^"]+)"/g;

/** The documents that a component and those within it use, by name. */
function used(file, seen = new Set()) {
  if (seen.has(file) || !file.startsWith(CODE) || file.endsWith("screens.ts")) return [];
  seen.add(file);
  return [...readFileSync(file, "utf8").matchAll(IMPORT)].flatMap(([, name]) => {
    const at = join(dirname(file), name);
    if (dirname(at) === GENERATED) return [basename(at)];
    const code = [at, `${at}.ts`, `${at}.svelte.ts`].find((one) => /\.(ts|svelte)$/.test(one) && existsSync(one));
    return code ? used(code, seen) : [];
  });
}

/** Each mutation of the screens: what it does, and the beginnings of the ids of the screens that have it. */
function acts(definitions, ids, schema) {
  const known = deeds(schema);
  const called = new Map(definitions.map((one) => [one.name.value, one.operation === "mutation" ? one.selectionSet.selections.map(({ name }) => name.value) : []]));
  const found = new Map();
  const tables = [join(HERE, "screens.ts"), ...readdirSync(CODE).map((folder) => join(CODE, folder, "screens.ts"))].filter(existsSync);
  const shown = new Set(tables.flatMap((file) => [...readFileSync(file, "utf8").matchAll(/generated\/(\w+)"/g)].map(([, name]) => name)));
  const code = readdirSync(CODE, { recursive: true, encoding: "utf8" }).filter((name) => /\.(svelte|ts)$/.test(name));
  // What a screen does by itself, such as to begin a registration, no button names.
  const named = new Set(code.flatMap((name) => [...readFileSync(join(CODE, name), "utf8").matchAll(/"(\w+)"/g)].map(([, word]) => word)));
  const components = code.filter((name) => name.endsWith(".svelte")).sort();
  for (const names of components.map((name) => used(join(CODE, name)))) {
    const read = names.filter((name) => shown.has(name)).map((name) => ids.get(name).slice(0, 12));
    for (const operation of names.flatMap((name) => called.get(name) ?? [])) {
      if (!known.has(operation)) throw new Error(`no mutation is called ${operation}`);
      if (named.has(operation)) found.set(operation, new Set([...(found.get(operation) ?? []), ...read]));
    }
  }
  const sorted = [...found].sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(sorted.map(([operation, read]) => [operation, [known.get(operation), ...read]]));
}

/** Writes `generated/`; returns the manifest: sha256 → text. */
export async function writeDocuments() {
  const documents = ["lib", "screens"]
    .filter((folder) => existsSync(join(HERE, folder)))
    .flatMap((folder) => files(join(HERE, folder)))
    .map((location) => ({ location: relative(HERE, location), document: withTypenames(parse(readFileSync(location, "utf8"))) }));
  const schema = parse(readFileSync(SCHEMA, "utf8"));
  const types = await codegen({
    filename: "generated/types.ts",
    schema,
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
  const ids = new Map();
  for (const definition of definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION)) {
    const name = definition.name.value;
    const parts = [definition, ...[...needed(definition, fragments)].sort().map((fragment) => fragments.get(fragment))];
    const text = stripIgnoredCharacters(parts.map(print).join("\n"));
    const id = createHash("sha256").update(text).digest("hex");
    manifest[id] = text;
    ids.set(name, id);
    const typed = `${name}${KINDS[definition.operation]}`;
    writeFileSync(
      join(GENERATED, `${name}.ts`),
      `import { document } from "../lib/document";\nimport type { ${typed}, ${typed}Variables } from "./types";\n\n` +
        `export const ${name} = document<${typed}, ${typed}Variables>("${id.slice(0, NAME)}");\n`,
    );
  }
  const sent = definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION);
  const called = new Set(sent.flatMap(({ selectionSet }) => selectionSet.selections.map(({ name }) => name.value)));
  const { documents: others, forms } = formsOf(schema, called);
  const known = deeds(schema);
  const shortOf = new Map();
  for (const [name, written] of others) {
    const text = stripIgnoredCharacters(written);
    const id = createHash("sha256").update(text).digest("hex");
    manifest[id] = text;
    shortOf.set(name, id.slice(0, NAME));
  }
  const does = { ...acts(sent, ids, schema), ...Object.fromEntries(Object.keys(forms).map((operation) => [operation, [known.get(operation)]])) };
  writeFileSync(join(GENERATED, "acts.ts"), `export const ACTS: Readonly<Record<string, readonly [text: string, ...documents: string[]]>> = ${JSON.stringify(does)};\n`);
  writeFileSync(join(GENERATED, "forms.ts"), `import type { Form } from "../lib/operate";\n\nexport const FORMS: Readonly<Record<string, Form>> = ${JSON.stringify(forms, (_, value) => shortOf.get(value) ?? value)};\n`);
  return Object.fromEntries(Object.entries(manifest).sort(([a], [b]) => (a < b ? -1 : 1)));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await writeDocuments();
