import { find } from "./dom.js";

export const SMALL = matchMedia("(max-width: 44rem)");

/** Shows "crew" or "chat" where there is room for one of them. What is shown alone is the main part of the page. */
export function showPane(name) {
  find("#workbench").dataset.open = name;
  const side = find("#side");
  if (SMALL.matches && name === "crew") {
    side.setAttribute("role", "main");
    side.setAttribute("aria-label", "Agents and runs");
  } else {
    side.removeAttribute("role");
    side.removeAttribute("aria-label");
  }
}
