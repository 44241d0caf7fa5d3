/** The secret of a mailed link, which leaves the address: it is of use to anybody who reads that. */
export function takeToken(parameters: string): string {
  const token = new URLSearchParams(parameters).get("token") ?? "";
  history.replaceState(null, "", location.pathname);
  return token;
}
