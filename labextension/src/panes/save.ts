// Saves something as a file of the person's browser.
import { h } from "../view/dom.ts";

export function save(content: Blob, name: string): void {
  const address = URL.createObjectURL(content);
  h("a", { attributes: { href: address, download: name } }).click();
  window.setTimeout(() => URL.revokeObjectURL(address), 60_000); // the browser reads it after the click
}
