// The left side: one page of the instructions at a time, with the way to the others.
import type { Content } from "./blocks.ts";
import { contents } from "./contents.ts";
import type { Instructions, Page, Progress, Status } from "./contract.ts";
import { h, setAttribute, setText } from "./dom.ts";
import { recall, remember } from "./memory.ts";
import { doneOf, isDone, tasksOf } from "./progress.ts";
import { Step, type StepHost } from "./steps.ts";
import { strings } from "./strings.ts";

export interface InstructionsPart {
  element: HTMLElement;
  update(status: Status): void;
}

/** @param memoryKey under which the page last read is remembered */
export function instructionsPart(instructions: Instructions, memoryKey: string, host: StepHost): InstructionsPart {
  const pages = [...instructions.pages]; // a locked one is replaced once it may be read
  const overall = contents(show);
  const chips = pages.map((page, index) => pageChip(page, index, () => show(index)));
  const body = h("div");
  const overview = h("nav", { class: "chips", attributes: { "aria-label": strings.pages, hidden: pages.length < 2 } },
    ...chips.map((chip) => chip.element));
  overall.element.hidden = pages.length < 2;
  const element = h("article", { attributes: { "aria-label": strings.instructions } }, overview, overall.element, body);
  let steps: Step[] = [];
  let texts: Content[] = [];
  let at = 0;
  let latest: Status | undefined;
  const asked = new Set<string>();

  function render(index: number): HTMLElement | undefined {
    const page = pages[index];
    if (page === undefined) return undefined;
    at = index;
    const title = h("h2", { attributes: { tabindex: -1 } }, page.title);
    const parts = page.parts.map((part) => (part.kind === "html" ? host.content(part.html) : new Step(part, host)));
    steps = parts.filter((part) => part instanceof Step);
    texts = parts.filter((part): part is Content => !(part instanceof Step));
    const content = parts.map((part) => (part instanceof Step ? part.element : part.fragment));
    const shown = page.locked ? [lockedNotice(page, pages)] : content;
    body.lang = page.language;
    body.replaceChildren(title, crumb(page, index, pages.length), ...shown, pageButtons(pages, index, show));
    chips.forEach((chip, other) => setAttribute(chip.element, "aria-current", other === index && "page"));
    if (latest) update(latest);
    return title;
  }

  /** The learner turned the page: it starts at its top, and a screen reader hears its title. */
  function show(index: number, step?: string): void {
    const title = render(index);
    remember(memoryKey, pages[index]?.id ?? "");
    element.scrollTop = 0;
    title?.focus({ preventScroll: true });
    steps.find((one) => one.id === step)?.focus();
  }

  /** A page that the server has opened is fetched, and drawn where it is the one that is looked at. */
  async function unlock(index: number): Promise<void> {
    const page = pages[index];
    if (page === undefined || asked.has(page.id)) return;
    asked.add(page.id);
    try {
      pages[index] = (await host.request("page", { page: page.id })).page;
      if (index === at) render(at);
      else if (latest) update(latest);
    } catch (error) {
      host.failed(error as Error);
    } finally {
      asked.delete(page.id);
    }
  }

  function update(status: Status): void {
    latest = status;
    const current = steps.find((step) => !isDone(step.id, status.progress));
    for (const step of steps) step.update(status, step === current);
    for (const text of texts) text.update(status.progress);
    for (const [index, chip] of chips.entries()) chip.update(pages[index] as Page, status.progress);
    overall.update(pages, status.progress);
    for (const [index, page] of pages.entries()) {
      if (page.locked && !status.progress.locked.includes(page.id)) void unlock(index);
    }
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

/** What has to be done before a page is opened, by the titles of its steps. */
function lockedNotice(page: Page, pages: Page[]): HTMLElement {
  const titles = new Map(pages.flatMap((one) => one.parts).flatMap((part) => (part.kind === "step" ? [[part.id, part.title]] : [])));
  const wanted = page.requires.map((name) => h("li", {}, titles.get(name) ?? name));
  return h("div", { class: "locked" }, h("p", {}, strings.lockedUntil), h("ul", {}, ...wanted));
}

interface Chip {
  element: HTMLElement;
  update(page: Page, progress: Progress): void;
}

/** A small button for each page that also says how much of it is done. */
function pageChip(page: Page, index: number, show: () => void): Chip {
  const element = h("button", { attributes: { type: "button", title: page.title }, on: { click: show } });
  return {
    element,
    update(fresh, progress) {
      const [done, all] = [doneOf(fresh, progress), tasksOf(fresh).length];
      const shown = strings.pageChip(index + 1, done, all);
      setText(element, shown);
      setAttribute(element, "aria-label", strings.pageChipName(shown, fresh.title, done, all));
      element.classList.toggle("done", all > 0 && done === all);
    },
  };
}
