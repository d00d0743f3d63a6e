// The left side: one page of the instructions at a time, with the way to the others.
import type { Instructions, Page, Progress, Status } from "./contract.ts";
import { h, setAttribute, setText } from "./dom.ts";
import { recall, remember } from "./memory.ts";
import { isDone, stepsOf } from "./progress.ts";
import { Step, type StepHost } from "./steps.ts";
import { strings } from "./strings.ts";

export interface InstructionsPart {
  element: HTMLElement;
  update(status: Status): void;
}

/** @param memoryKey under which the page last read is remembered */
export function instructionsPart(instructions: Instructions, memoryKey: string, host: StepHost): InstructionsPart {
  const { pages } = instructions;
  const chips = pages.map((page, index) => pageChip(page, index, () => show(index)));
  const body = h("div");
  const overview = h("nav", { class: "chips", attributes: { "aria-label": strings.pages, hidden: pages.length < 2 } },
    ...chips.map((chip) => chip.element));
  const element = h("article", { attributes: { "aria-label": strings.instructions, lang: instructions.language } }, overview, body);
  let steps: Step[] = [];
  let latest: Status | undefined;

  function render(index: number): HTMLElement | undefined {
    const page = pages[index];
    if (page === undefined) return undefined;
    const title = h("h2", { attributes: { tabindex: -1 } }, page.title);
    const parts = page.parts.map((part) => (part.kind === "html" ? host.content(part.html) : new Step(part, host)));
    steps = parts.filter((part) => part instanceof Step);
    const content = parts.map((part) => (part instanceof Step ? part.element : part));
    body.replaceChildren(title, crumb(page, index, pages.length), ...content, pageButtons(pages, index, show));
    chips.forEach((chip, at) => setAttribute(chip.element, "aria-current", at === index && "page"));
    if (latest) update(latest);
    return title;
  }

  /** The learner turned the page: it starts at its top, and a screen reader hears its title. */
  function show(index: number): void {
    const title = render(index);
    remember(memoryKey, pages[index]?.id ?? "");
    element.scrollTop = 0;
    title?.focus({ preventScroll: true });
  }

  function update(status: Status): void {
    latest = status;
    const current = steps.find((step) => !isDone(step.id, status.progress));
    for (const step of steps) step.update(status, step === current);
    for (const chip of chips) chip.update(status.progress);
  }

  const last = pages.findIndex((page) => page.id === recall(memoryKey));
  render(Math.max(0, last));
  return { element, update };
}

function crumb(page: Page, index: number, count: number): HTMLElement {
  const words = [strings.pageNumber(index + 1, count)];
  if (page.minutes !== null) words.push(strings.minutes(page.minutes));
  return h("p", { class: "crumb" }, words.join(" · "));
}

function pageButtons(pages: Page[], index: number, show: (index: number) => void): HTMLElement {
  const button = (to: number, label: string, kind: string): HTMLElement =>
    h("button", { class: kind, attributes: { type: "button" }, on: { click: () => show(to) } }, label);
  const [before, after] = [pages[index - 1], pages[index + 1]];
  return h("div", { class: "page-turn" },
    ...(before ? [button(index - 1, strings.previousPage(index, before.title), "")] : []),
    ...(after ? [button(index + 1, strings.nextPage(index + 2, after.title), "primary push")] : []));
}

interface Chip {
  element: HTMLElement;
  update(progress: Progress): void;
}

/** A small button for each page that also says how much of it is done. */
function pageChip(page: Page, index: number, show: () => void): Chip {
  const steps = stepsOf(page);
  const element = h("button", { attributes: { type: "button", title: page.title }, on: { click: show } });
  return {
    element,
    update(progress) {
      const done = steps.filter((step) => isDone(step.id, progress)).length;
      const shown = strings.pageChip(index + 1, done, steps.length);
      setText(element, shown);
      setAttribute(element, "aria-label", strings.pageChipName(shown, page.title, done, steps.length));
      element.classList.toggle("done", steps.length > 0 && done === steps.length);
    },
  };
}
