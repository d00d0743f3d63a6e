// The lab view: one module for every host. `mount` draws a lab into an element and keeps it up to date.
import { blocks } from "./blocks.ts";
import type { Actions } from "./act.ts";
import type { Progress, Request, Status, Transport, View } from "./contract.ts";
import { freshId, h, setText } from "./dom.ts";
import { type Header, header } from "./header.ts";
import { type InstructionsPart, instructionsPart } from "./instructions.ts";
import { layoutButton } from "./layout.ts";
import { recall, remember } from "./memory.ts";
import { Panes } from "./panes.ts";
import { poll } from "./poll.ts";
import { openShell, type Shell } from "./shell.ts";
import { narrowed, type Show, stepOf } from "./show.ts";
import { splitter } from "./splitter.ts";
import { Step } from "./steps.ts";
import { speak, strings } from "./strings.ts";
import style from "./style.css" with { type: "text" };
import { ConnectionLost, httpTransport } from "./transport.ts";

export { httpTransport };
export type * from "./contract.ts";
export type { Actions, Show };

/** What a host may ask for: what is drawn, and who does the actions in the text where the machines are elsewhere. */
export interface Options {
  show?: Show;
  actions?: Actions;
  /** Told once the lab is drawn: what its panes can be asked to do. */
  ready?(panes: Actions): void;
  /** Stands at the end of the top line. */
  beside?: HTMLElement;
  /** What that needs beside the view's own style sheet. */
  styles?: string;
}

/**
 * Draws the lab that `transport` leads to. An element with the attribute `data-labkit-fill` is filled in height;
 * else the view takes a height that suits a notebook. Returns what takes the view away again.
 */
export function mount(element: HTMLElement, transport: Transport, options: Options = {}): () => void {
  const { show = {} } = options;
  const shell = openShell(element, ["view", ...(show.step ? ["one-step"] : []), ...(show.pane ? ["one-pane"] : [])].join(" "), style + (options.styles ?? ""));
  speak(wantedLanguage());
  const banner = h("p", { class: "banner", attributes: { role: "status" } });
  const loading = h("p", { class: "notice" }, strings.loading);
  shell.root.append(banner, loading);
  let lab: LabView | undefined;

  const connection = (error?: Error): void => {
    loading.hidden = error !== undefined;
    if (error === undefined) setText(banner, "");
    else if (error instanceof ConnectionLost || lab === undefined) setText(banner, error.message);
  };
  async function ask(): Promise<boolean> {
    try {
      if (lab === undefined) {
        const view = await inLanguage(transport.request)("view", {});
        loading.remove();
        lab = labView(view, transport, shell, connection, options);
      } else {
        await lab.refresh();
      }
      connection();
      return true;
    } catch (error) {
      connection(error as Error);
      setText(banner, (error as Error).message); // what is shown is no longer how it is, whoever refused
      return false;
    }
  }
  const polling = poll(shell.root, ask);
  const deafen = transport.onEvent((event) => {
    if (isChange(event)) void lab?.redraw();
    polling.now();
  });
  polling.now();
  return () => {
    deafen();
    polling.close();
    lab?.close();
    transport.close?.();
    shell.close();
  };
}

/** What the learner chose, else what the browser is set to. */
function wantedLanguage(): string {
  return recall("language") ?? navigator.language.slice(0, 2);
}

/** Every question says the language in which its answer is to be read. */
function inLanguage(request: Request): Request {
  return (method, params) => request(method, { ...params, language: wantedLanguage() });
}

/** The author has changed the text: it is drawn anew, while the panes live on. */
function isChange(event: unknown): boolean {
  return (event as { changed?: unknown } | null)?.changed === "text";
}

/** How much later the end is, each time the learner asks for it. */
const EXTEND_MINUTES = 30;

interface LabView {
  refresh(): Promise<void>;
  redraw(): Promise<void>;
  close(): void;
}

function labView(view: View, transport: Transport, shell: Shell, failed: (error: Error) => void, options: Options): LabView {
  const { show = {} } = options;
  let status: Status = view;
  let version = 0; // counts what the learner did: an older status must not undo it on the screen
  const toast = h("p", { class: "toast", attributes: { role: "status" } });
  const say = sayer(toast);
  const request = inLanguage(transport.request);
  const panes = new Panes(view.credentials, { request, paneUrl: transport.paneUrl, say, failed });
  const main = h("div", { class: "main" });
  const alone = show.step !== undefined || show.pane !== undefined; // a part without the line on top
  const actions: Actions = options.actions ?? {
    act: (...action) => (setPanesHidden(false), panes.act(...action)),
  };
  setPanesHidden(show.step !== undefined || show.part === "instructions");
  let [top, left] = draw(view);

  function setPanesHidden(hidden: boolean): void {
    const appeared = panes.element.hidden && !hidden;
    panes.element.hidden = hidden;
    if (appeared) panes.update(status);
    if (!hidden && !panes.element.isConnected) main.append(panes.element);
  }

  /** What stands on the left: all pages, one step, or nothing. */
  function text(fresh: View, host: ConstructorParameters<typeof Step>[1]): InstructionsPart | undefined {
    if (show.part === "machines" || show.pane !== undefined) return undefined;
    if (show.step === undefined) return instructionsPart(fresh.instructions, `page:${fresh.lab.id}`, host);
    const part = stepOf(fresh, show.step);
    if (part === undefined) return { element: h("p", { class: "notice" }, strings.noStep(show.step)), update: () => {} };
    const step = new Step(part, host);
    return { element: h("article", {}, step.element), update: (status) => step.update(status, false) };
  }

  /** What is in words: drawn again in another language, while the panes live on. */
  function draw(fresh: View): [Header, InstructionsPart | undefined] {
    shell.root.lang = strings.language;
    const progressed = (progress: Progress): void => {
      version += 1;
      update({ ...status, progress });
    };
    const host = { request, failed, progressed, media: transport.media, actions, say };
    const head = header(fresh.lab.title || fresh.instructions.title, fresh.instructions, (code) => void change(code), {
      extend: () => void extend(),
      layout: alone || show.part !== undefined ? undefined : layoutButton(main, show.layout),
    });
    if (options.beside) head.element.append(options.beside);
    const part = text(fresh, { request, failed, progressed, content: (html) => blocks(html, host) });
    if (part !== undefined) part.element.id = freshId("instructions");
    const parts = part === undefined || panes.element.hidden ? [] : [splitter(main, part.element)];
    main.replaceChildren(...(part ? [part.element] : []), ...parts, ...(panes.element.hidden ? [] : [panes.element]));
    main.classList.toggle("single", parts.length === 0);
    const banner = [...shell.root.children].filter((one) => one.matches(".banner"));
    shell.root.replaceChildren(...banner, ...(alone ? [] : [head.element]), main, toast);
    return [head, part];
  }

  async function change(language: string): Promise<void> {
    remember("language", language);
    speak(language);
    await redraw();
    top.element.querySelector("select")?.focus();
  }

  async function redraw(): Promise<void> {
    try {
      const fresh = await request("view", {});
      const scrolled = left?.element.scrollTop ?? 0;
      [top, left] = draw(fresh);
      update(fresh);
      if (left) left.element.scrollTop = scrolled;
    } catch (error) {
      failed(error as Error);
    }
  }

  async function extend(): Promise<void> {
    try {
      update({ ...status, ...(await request("extend", { minutes: EXTEND_MINUTES })) });
    } catch (error) {
      say((error as Error).message);
    }
  }

  function update(fresh: Status): void {
    status = fresh;
    top.update(fresh);
    left?.update(fresh);
    if (!panes.element.hidden) panes.update(narrowed(fresh, show));
  }

  shell.root.setAttribute("aria-label", view.lab.title);
  update(view);
  options.ready?.(panes);
  return {
    async refresh() {
      const before = version;
      const fresh = await request("status", {});
      update(version === before ? fresh : { ...fresh, progress: status.progress });
    },
    redraw,
    close: () => panes.close(),
  };
}

/** Says a sentence in one place for a few seconds: what came of a click on a button without a line of its own. */
function sayer(toast: HTMLElement): (sentence: string) => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return (sentence) => {
    setText(toast, sentence);
    clearTimeout(timer);
    timer = setTimeout(() => setText(toast, ""), 5000);
  };
}
