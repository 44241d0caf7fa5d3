/** The parts of the resources, in the order of their tabs; each has an address. */
export const PARTS = ["credentials", "integrations", "skills", "webhooks", "channels", "connectors", "templates"] as const;
export type Part = (typeof PARTS)[number];
