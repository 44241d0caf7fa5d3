/** The icon of the tab, with a dot while something needs the viewer. */
export function showBadge(on: boolean): void {
  const link = document.querySelector<HTMLLinkElement>("link[rel=icon]");
  if (link) link.href = on ? "/static/badge.svg" : "/static/favicon.svg";
}
