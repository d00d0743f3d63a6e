// The table of contents: every page, how far it is done, and the steps of those that are open.
import type { Page, Progress } from "./contract.ts";
import { h, setText } from "./dom.ts";
import { doneOf, pointsOf, tasksOf } from "./progress.ts";
import { strings } from "./strings.ts";

export interface Contents {
  element: HTMLElement;
  update(pages: Page[], progress: Progress): void;
}

/** @param show turns to a page, and to a step of it where one is named */
export function contents(show: (index: number, step?: string) => void): Contents {
  const list = h("ol");
  const element = h("details", { class: "contents" },
    h("summary", {}, strings.contents), h("nav", { attributes: { "aria-label": strings.contents } }, list));
  let drawn = "";

  const entry = (label: string, click: () => void): HTMLElement =>
    h("button", { class: "ghost", attributes: { type: "button" }, on: { click } }, label);

  function row(page: Page, index: number): HTMLElement {
    const steps = page.parts.filter((part) => part.kind === "step");
    const below = steps.map((step) => h("li", {}, entry(step.title, () => show(index, step.id))));
    return h("li", {}, entry(page.title, () => show(index)), h("small"), ...(below.length > 0 ? [h("ul", {}, ...below)] : []));
  }

  return {
    element,
    update(pages, progress) {
      const key = pages.map((page) => `${page.id} ${page.locked}`).join();
      if (key !== drawn) list.replaceChildren(...pages.map(row));
      drawn = key;
      for (const [index, page] of pages.entries()) {
        const [points, max] = pointsOf(page, progress);
        const words = [
          ...(page.locked ? [strings.locked] : []),
          ...(tasksOf(page).length > 0 ? [strings.stepsDone(doneOf(page, progress), tasksOf(page).length)] : []),
          ...(max > 0 ? [strings.pointsDone(points, max)] : []),
        ];
        setText(list.children[index]?.querySelector("small") as Element, words.join(" · "));
      }
    },
  };
}
