/** Names of events, however a person separates them. */
export const typesOf = (text: string): string[] => text.split(/[\s,]+/).filter(Boolean);
