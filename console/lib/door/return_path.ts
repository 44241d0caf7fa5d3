/**
 * Where to go after the sign-in: `value` if it is a path of this origin, else "/".
 *
 * One leading slash, no second one, no backslash anywhere. The parsed form is compared too, because URL parsers drop tabs and line
 * breaks: "/\t/host" would become "//host".
 */
export function returnPath(value: string | null, origin: string): string {
  if (typeof value !== "string" || !value.startsWith("/") || value.startsWith("//") || value.includes("\\")) return "/";
  if (!URL.canParse(value, origin)) return "/";
  const url = new URL(value, origin);
  if (url.origin !== origin || url.pathname.startsWith("//")) return "/";
  return url.pathname + url.search + url.hash;
}
