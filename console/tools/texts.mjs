// Texts stand in one file, and each screen loads its own only: a name such as `texts.acts.save` becomes the text itself, and what is no text (a
// text with values, a table of texts) comes from a module of its own.
const FILE = "/lib/texts.ts";
const IMPORT = /import \{ texts(?: as (\w+))? \} from "[./a-z]*texts";/;
const named = (local) => new RegExp(`(?<![\\w.$/])${local}((?:\\??\\.[A-Za-z_]\\w*)+)`, "g");
const MODULE = "virtual:texts/";

function written(value) {
  if (typeof value !== "object") return typeof value === "function" ? value.toString() : JSON.stringify(value);
  return `{${Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${written(each)}`)}}`;
}

export async function texts() {
  const all = (await import("../lib/texts.ts")).texts;

  /** The first part of a chain of names that is no table, and the names behind it: methods of a text. */
  function resolved(names) {
    let value = all;
    for (const [at, name] of names.entries()) {
      if (typeof value === "string") return { value, rest: names.slice(at) };
      value = value[name];
      if (value === undefined) throw new Error(`lib/texts.ts has no ${names.join(".")}`);
    }
    return { value, rest: [] };
  }

  return {
    name: "texts",
    enforce: "pre",
    resolveId: (id) => (id.startsWith(MODULE) ? id : null),
    load: (id) => (id.startsWith(MODULE) ? `export default ${written(resolved(id.slice(MODULE.length).split("/")).value)};` : null),
    transform(code, id) {
      const imported = /\.(svelte|ts)$/.test(id) && !id.endsWith(FILE) && IMPORT.exec(code);
      if (!imported) return null;
      const parts = new Set();
      const made = code.replace(named(imported[1] ?? "texts"), (found, chain) => {
        const names = chain.split(/\??\./).slice(1);
        const { value, rest } = resolved(names);
        if (typeof value === "string") return [JSON.stringify(value), ...rest].join(".");
        const part = names.slice(0, 2);
        parts.add(part.join("/"));
        return [`texts_${part.join("_")}`, ...names.slice(2)].join(".");
      });
      const imports = [...parts].map((part) => `import texts_${part.replace("/", "_")} from "${MODULE}${part}";`).join(" ");
      return { code: made.replace(IMPORT, imports), map: null };
    },
  };
}
