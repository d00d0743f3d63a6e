// Copies text to the clipboard, also where the page is plain http and the browser keeps its clipboard interface back.
import { h } from "./dom.ts";
import { strings } from "./strings.ts";

/** Throws an Error with one sentence where the browser refuses. `near` is an element whose tree may take a text field. */
export async function copyText(text: string, near: Element): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    if (!copyBySelection(text, near)) throw new Error(strings.copyFailed);
  }
}

function copyBySelection(text: string, near: Element): boolean {
  const field = h("textarea", { class: "off-screen", attributes: { readonly: true } });
  field.value = text;
  near.after(field);
  field.select();
  try {
    return document.execCommand("copy");
  } finally {
    field.remove();
    if (near instanceof HTMLElement) near.focus();
  }
}

/** A button that copies what `text` returns and says so in its own label for two seconds. */
export function copyButton(what: string, text: () => string, say: (sentence: string) => void): HTMLButtonElement {
  const button = h("button", { attributes: { type: "button", "aria-label": strings.copyOf(what) } }, strings.copy);
  let timer: ReturnType<typeof setTimeout> | undefined;
  button.addEventListener("click", async () => {
    try {
      await copyText(text(), button);
      say(strings.copied);
      button.textContent = strings.copied;
      clearTimeout(timer);
      timer = setTimeout(() => (button.textContent = strings.copy), 2000);
    } catch (error) {
      say((error as Error).message);
    }
  });
  return button;
}
