// Texts stand in a few files, and each screen loads its own only: a name such as `texts.acts.save` becomes the text itself, and what is no text (a
// text with values, a table of texts) comes from a module of its own.
import { readdirSync } from "node:fs";

const HERE = new URL("../lib/", import.meta.url);
const FILES = readdirSync(HERE).filter((name) => /^texts(\.[a-z]+)?\.ts$/.test(name));
const IMPORT = /import \{ ([\w, ]+) \} from "[./a-z]*\/(texts(?:\.[a-z]+)?)";/g;
const named = (locals) => new RegExp(`(?<![\\w.$/])(${locals.join("|")})((?:\\??\\.[A-Za-z_]\\w*)+)`, "g");
const MODULE = "virtual:texts/";

/** The source of a text with values. It is written alone, so it may use nothing but its values. */
function source(text) {
  const written = text.toString();
  try {
    new Function(`return (${written})`)()(...Array(text.length).fill("1"));
  } catch (error) {
    if (error instanceof ReferenceError) throw new Error(`the text ${written} uses more than its values: ${error.message}`);
  }
  return written;
}

function written(value) {
  if (typeof value !== "object") return typeof value === "function" ? source(value) : JSON.stringify(value);
  return `{${Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${written(each)}`)}}`;
}

export async function texts() {
  const all = {};
  for (const file of FILES) all[file.slice(0, -3)] = await import(new URL(file, HERE));

  /** The first part of a chain of names that is no table, and the names behind it: methods of a text. */
  function resolved(names) {
    let value = all;
    for (const [at, name] of names.entries()) {
      if (typeof value === "string") return { value, rest: names.slice(at) };
      value = value[name];
      if (value === undefined) throw new Error(`there is no text ${names.join(".")}`);
    }
    return { value, rest: [] };
  }

  return {
    name: "texts",
    enforce: "pre",
    resolveId: (id) => (id.startsWith(MODULE) ? id : null),
    load: (id) => (id.startsWith(MODULE) ? `export default ${written(resolved(id.slice(MODULE.length).split("/")).value)};` : null),
    transform(code, id) {
      if (!/\.(svelte|ts)$/.test(id) || FILES.some((file) => id.endsWith(`/lib/${file}`))) return null;
      /** The file and the table of each name that is imported. */
      const tables = new Map();
      for (const [, names, file] of code.matchAll(IMPORT)) {
        for (const [table, local = table] of names.split(", ").map((name) => name.split(" as "))) tables.set(local, [file, table]);
      }
      if (!tables.size) return null;
      const parts = new Map();
      const made = code.replace(named([...tables.keys()]), (_, local, chain) => {
        const names = [...tables.get(local), ...chain.split(/\??\./).slice(1)];
        const { value, rest } = resolved(names);
        if (typeof value === "string") return [JSON.stringify(value), ...rest].join(".");
        const part = names.slice(0, 4);
        parts.set(part.join("/"), part.slice(1).join("_"));
        return [part.slice(1).join("_"), ...names.slice(4)].join(".");
      });
      let imports = [...parts].map(([part, name]) => `import ${name} from "${MODULE}${part}";`).join(" ");
      return { code: made.replace(IMPORT, () => [imports, (imports = "")][0]), map: null };
    },
  };
}
