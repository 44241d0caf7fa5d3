import { document } from "./document";
import { texts } from "./texts";

/** A field of an input: its name, its type (with an s: a list), whether it is needed, and what can be chosen. */
export type FormField = readonly [name: string, type: string, needed: boolean, choices?: readonly string[]];
export interface Form {
  /** Of the document. */
  id: string;
  note: string;
  fields: readonly FormField[];
  /** The row that it changes: the field that names it, and the documents that read it and list those that can be chosen. */
  row?: { field: string; read?: string; list?: string };
}
export type Variables = { ws?: string; input?: Record<string, unknown>; version?: number };
export const documentOf = ({ id }: Form) => document<Record<string, unknown>, Variables>(id);

/** A row as it is: the values that the fields begin with, and the version that is sent with the change. */
export type Row = { id: string; version: number } & Record<string, unknown>;
export const rowDocument = (id: string) => document<{ row: Row | null }, { ws: string; id: string }>(id);

export type Offered = readonly { id: string; name: string; slug?: string; viewerCan?: readonly string[] }[];
export const listDocument = (id: string) => document<{ rows: Offered | { nodes: Offered } | null }, { ws: string }>(id);

/** What a field shows of the value of a row. */
export function writtenOf(value: unknown): string | undefined {
  if (value === null || value === undefined) return undefined;
  if (Array.isArray(value)) return value.join("\n");
  return typeof value === "object" ? JSON.stringify(value, null, 2) : String(value as string | number | boolean);
}

/** The values of a result that are shown once. */
export const secretsOf = (result: unknown): [name: string, value: string][] =>
  Object.entries((result ?? {}) as Record<string, unknown>).flatMap(([name, value]) => (/^(token|secret)$/i.test(name) && typeof value === "string" ? [[name, value]] : []));

const SECRET = /(passphrase|identity|secret|password)$/i;
const LONG = /(content|prompt|description|reason|rationale|text)$/i;
const ENDS = /^(delete|remove|purge|prune|restore|rotate|reset|release|revoke|cancel)/;

export const isDanger = (operation: string): boolean => ENDS.test(operation);

/** "fromCrewId" → "From crew". */
export function labelOf(name: string): string {
  const words = name.replace(/(?<=.)Ids?$/, "").replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** What a person can choose an id from. */
export type Pool = "agents" | "crews" | "people" | "credentials";
const POOLS: readonly (readonly [RegExp, Pool])[] = [[/(agent|lead)Id$/i, "agents"], [/crewId$/i, "crews"], [/^userId$/, "people"], [/credentialId$/i, "credentials"]];
export const poolOf = ([name, type]: FormField): Pool | undefined => (type === "ID" ? POOLS.find(([fits]) => fits.test(name))?.[1] : undefined);

export type Control = "choice" | "flag" | "number" | "lines" | "json" | "secret" | "long" | "line";
export function controlOf([name, type]: FormField): Control {
  if (type === "choice") return "choice";
  if (type === "Boolean") return "flag";
  if (type === "Int" || type === "Float") return "number";
  if (type.endsWith("s")) return "lines";
  if (type === "JSON") return "json";
  if (SECRET.test(name)) return "secret";
  return LONG.test(name) ? "long" : "line";
}

/** The input, of what was written: what is empty is left out, or null where the row has a value. Throws for what cannot be read. */
export function inputOf(fields: readonly FormField[], written: Readonly<Record<string, string>>, row?: Row): Record<string, unknown> {
  return Object.fromEntries(
    fields.flatMap((field) => {
      const [name, , needed] = field;
      const control = controlOf(field);
      const text = written[name] ?? "";
      if (!text.trim() && name in written && !needed && writtenOf(row?.[name])) return [[name, null]];
      if (!text.trim()) return needed && control === "line" ? [[name, ""]] : [];
      if (control === "flag") return [[name, text === "true"]];
      if (control === "number") return [[name, Number(text)]];
      if (control === "lines") return [[name, text.split("\n").map((line) => line.trim()).filter(Boolean)]];
      if (control !== "json") return [[name, text]];
      try {
        return [[name, JSON.parse(text) as unknown]];
      } catch {
        throw new Error(texts.operate.badJson(labelOf(name)));
      }
    }),
  );
}
