import { make } from "./dom.js";

/** A link for each sign-in provider; from there the browser comes back to `path`, signed in. */
export function showProviders(list, providers, path) {
  const link = ({ name, startUrl }) => make("a", { class: "button quiet", text: `Continue with ${name}`, href: `${startUrl}?${new URLSearchParams({ redirect: path })}` });
  list.replaceChildren(...providers.map((provider) => make("li", {}, link(provider))));
  list.hidden = providers.length === 0;
}
