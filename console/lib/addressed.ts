const ID = /^c[a-z0-9]{19,}$/;

/** How an address names a thing: by its slug, unless that looks like an id. */
export const named = ({ id, slug }: { id: string; slug: string }): string => (ID.test(slug) ? id : slug);

/** Filters of the address, by their names: those that are not there are not given. */
export const addressed = (query: URLSearchParams, names: readonly string[]): Record<string, string | undefined> => Object.fromEntries(names.map((name) => [name, query.get(name) || undefined]));

const timeOf = (given: string | undefined, time: string) => (given?.length === 10 ? `${given}T${time}Z` : given);

/** A time, or the begin of a day, by UTC. */
export const beginOf = (query: URLSearchParams, name: string): string | undefined => timeOf(query.get(name) || undefined, "00:00:00");

/** `since` and `until`: a day begins and ends by UTC, as the days of costs do. */
export const between = (query: URLSearchParams): { since?: string; until?: string } => ({ since: beginOf(query, "since"), until: timeOf(query.get("until") || undefined, "23:59:59") });
