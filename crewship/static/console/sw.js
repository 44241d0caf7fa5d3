// Shows pushes and opens their pages. It has no `fetch` listener and no cache: requests of pages do not pass through it.
self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("push", (event) => {
  const said = event.data?.json() ?? {};
  event.waitUntil(
    self.registration.showNotification(said.title ?? "Crewship", {
      body: said.body ?? "",
      tag: said.tag,
      timestamp: said.at,
      data: { url: said.url },
      icon: "/console/icons/192.png",
      badge: "/console/icons/badge.png",
      actions: (said.acts ?? []).map(([action, title]) => ({ action, title })),
      requireInteraction: said.urgent === true,
    }),
  );
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const url = new URL(event.notification.data?.url ?? "/console", self.location.origin);
  if (url.origin !== self.location.origin || !url.pathname.startsWith("/console")) return;
  event.waitUntil(open(url.href));
});

async function open(href) {
  const pages = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  for (const page of pages.filter(({ url }) => new URL(url).pathname.startsWith("/console"))) {
    // Not of a page that this worker does not control.
    const shown = await page.navigate(href).catch(() => null);
    if (shown) return void (await shown.focus().catch(() => {}));
  }
  await self.clients.openWindow(href);
}
