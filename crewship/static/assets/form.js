import { make } from "./dom.js";

const plain = (name) => name.split(".")[0].replaceAll("_", "").toLowerCase();

/**
 * Sends a form by `send(fields, form)`. The server judges, and its words stand beside the field they are about, which gets the
 * focus; what is about no field stands where the form has its `.refusal`.
 */
export function onSubmit(form, send) {
  form.noValidate = true;
  form.hidden = false; // before this a browser would send it by itself, with what is typed in the address
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.ariaBusy === "true") return;
    clearFaults(form);
    form.ariaBusy = "true";
    try {
      await send(Object.fromEntries(new FormData(form)), form);
    } catch (error) {
      showFaults(form, error);
    } finally {
      form.ariaBusy = "false";
    }
  });
}

export function clearFaults(form) {
  for (const field of form.querySelectorAll("[aria-invalid]")) clearFault(field);
  form.querySelector(".refusal").textContent = "";
}

function clearFault(field) {
  document.getElementById(faultOf(field))?.remove();
  field.removeAttribute("aria-invalid");
  describe(field, field.dataset.rule ?? "");
}

const faultOf = (field) => `fault-of-${field.form.id || field.form.parentElement.id}-${field.name}`;

export function showFaults(form, error) {
  const faults = new Map(Object.entries(error.extensions?.fields ?? {}).map(([name, text]) => [plain(name), text]));
  const about = [...form.elements].filter((field) => field.name);
  const faulty = about.filter((field) => faults.has(plain(field.name)));
  if (!faulty.length) {
    const named = about.find(({ dataset }) => dataset.about && new RegExp(`^(${dataset.about})\\b`, "i").test(error.message));
    if (named) {
      faults.set(plain(named.name), error.message);
      faulty.push(named);
    }
  }
  for (const field of faulty) showFault(field, sentence(field, faults.get(plain(field.name))));
  // the server ends at the first rule that is broken; what the form says of its fields is known here
  if (faulty.length) {
    for (const field of about) {
      const text = faulty.includes(field) ? "" : ownFault(field);
      if (text) showFault(field, sentence(field, text));
    }
  }
  if (faulty.length) faulty[0].focus();
  else form.querySelector(".refusal").textContent = error.message;
}

/** What the form itself demands of a field, and is not so. */
function ownFault({ validity, minLength, type, title }) {
  if (validity.valueMissing) return "must not be empty";
  if (validity.tooShort) return `must have at least ${minLength} characters`;
  if (validity.typeMismatch) return type === "email" ? "must be an email address" : "must be an address that begins with https://";
  return validity.patternMismatch ? title : "";
}

/** What is said of a field, with its name where the text is but the rest of a sentence. */
function sentence(field, text) {
  const name = field.labels?.[0]?.firstChild.textContent.trim() || field.ariaLabel;
  const whole = name && /^[a-z]/.test(text) ? `${name}${/^(must|has|is|may|cannot|does)\b/.test(text) ? "" : ":"} ${text}` : text;
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

function showFault(field, text) {
  const id = faultOf(field);
  field.dataset.rule ??= field.getAttribute("aria-describedby") ?? "";
  field.setAttribute("aria-invalid", "true");
  describe(field, `${field.dataset.rule} ${id}`.trim());
  (field.closest("label") ?? field).after(make("p", { class: "fault", id, role: "alert", text }));
  field.addEventListener("input", () => clearFault(field), { once: true }); // what was wrong is being changed
}

function describe(field, ids) {
  if (ids) field.setAttribute("aria-describedby", ids);
  else field.removeAttribute("aria-describedby");
}

/** Copies a text that is shown; where the browser does not let pages copy, it is selected. */
export async function copy(element, said) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    said.textContent = "Copied.";
  } catch {
    // browsers give the clipboard to secure origins only
    getSelection().selectAllChildren(element);
    said.textContent = "Selected: copy it with the keyboard.";
  }
}
