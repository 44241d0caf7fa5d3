import { find } from "./dom.js";

/** Asks in a dialog before something is done. Null where it is not to be, else the values of `fields`, which are elements. */
export function ask({ title, text, yes, fields = [] }) {
  const dialog = find("#ask");
  find("#ask-title").textContent = title;
  find("#ask-text").textContent = text;
  find("#ask-yes").textContent = yes;
  find("#ask-fields").replaceChildren(...fields);
  dialog.showModal();
  return new Promise((decided) => {
    dialog.oncancel = () => decided(null);
    dialog.querySelector("form").onsubmit = ({ target, submitter }) => decided(submitter.value === "yes" ? Object.fromEntries(new FormData(target)) : null);
  });
}
