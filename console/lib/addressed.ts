const ID = /^c[a-z0-9]{19,}$/;

/** How an address names a thing: by its slug, unless that looks like an id. */
export const named = ({ id, slug }: { id: string; slug: string }): string => (ID.test(slug) ? id : slug);

/** Filters of the address, by their names: those that are not there are not given. */
export const addressed = (query: URLSearchParams, names: readonly string[]): Record<string, string | undefined> => Object.fromEntries(names.map((name) => [name, query.get(name) || undefined]));

/** `since` and `until`: a day begins and ends by UTC, as the days of costs do. */
export function between(query: URLSearchParams): { since?: string; until?: string } {
  const { since, until } = addressed(query, ["since", "until"]);
  const at = (given: string | undefined, time: string) => (given?.length === 10 ? `${given}T${time}Z` : given);
  return { since: at(since, "00:00:00"), until: at(until, "23:59:59") };
}
