import { reasonOf } from "../../lib/client";

const LONGEST = 46;
const TRIES = 9;

/** The short name of a thing in addresses: "Über Crew" → "uber-crew". */
export function slugOf(name: string): string {
  const plain = name.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const slug = plain.replace(/[^a-z0-9]+/g, "-").slice(0, LONGEST).replace(/^-+|-+$/g, "");
  if (slug.length > 1 || !name.trim()) return slug;
  // A name without Latin letters has its letters' numbers.
  return `n-${slug || Array.from(name.trim(), (one) => one.codePointAt(0)!.toString(36)).join("")}`.slice(0, LONGEST);
}

/** Creates by a short name that is free: two things may have the same name. */
export async function withSlug<Made>(name: string, create: (slug: string) => Promise<Made>): Promise<Made> {
  const slug = slugOf(name);
  for (let turn = 1; ; turn++) {
    try {
      return await create(turn === 1 ? slug : `${slug}-${turn}`);
    } catch (error) {
      const { kind, fields } = reasonOf(error as Error);
      if (kind !== "conflict" || !fields.slug || turn === TRIES) throw error;
    }
  }
}
