// A question with yes and no, over the view. Not the browser's own: that one is silent in frames of other sites.
import { freshId, h } from "./dom.ts";
import { strings } from "./strings.ts";

/** Whether the learner said yes. `near` is an element of the view; the focus comes back to where it was. */
export function confirmed(near: HTMLElement, question: string): Promise<boolean> {
  const words = h("p", { attributes: { id: freshId("question") } }, question);
  const answer = (value: string, kind = ""): HTMLElement =>
    h("button", { class: kind, attributes: { type: "button" }, on: { click: () => dialog.close(value) } },
      value === "yes" ? strings.yes : strings.no);
  const dialog = h("dialog", { class: "ask", attributes: { "aria-labelledby": words.id } },
    words, h("div", { class: "row" }, answer("yes", "primary"), answer("no")));
  (near.closest("section.view") ?? near).append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes"); // Escape leaves it empty
    });
    dialog.showModal();
  });
}
