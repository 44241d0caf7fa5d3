/** An element. Texts become text, never markup: whatever is shown here was written by people and models. */
export function make(tag, { class: name, text, ...properties } = {}, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  for (const [key, value] of Object.entries(properties)) {
    if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
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
