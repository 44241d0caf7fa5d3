import { find } from "./dom.js";

/**
 * Asks in a dialog before something is done. Null where it is not to be, else the values of `fields`, which are elements.
 * What is `final` is not done by the key that opened the dialog.
 */
export function ask({ title, text, yes, fields = [], final = false }) {
  const dialog = find("#ask");
  find("#ask-title").textContent = title;
  find("#ask-text").textContent = text;
  find("#ask-yes").textContent = yes;
  find("#ask-fields").replaceChildren(...fields);
  find("#ask-yes").classList.toggle("danger", final);
  dialog.showModal();
  if (final) find("#ask-no").focus();
  return new Promise((decided) => {
    dialog.oncancel = () => decided(null);
    dialog.querySelector("form").onsubmit = ({ target, submitter }) => decided(submitter.value === "yes" ? Object.fromEntries(new FormData(target)) : null);
  });
}
