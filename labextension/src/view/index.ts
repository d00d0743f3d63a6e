// The lab view: one module for every host. `mount` draws a lab into an element and keeps it up to date.
import { blocks } from "./blocks.ts";
import type { Progress, Request, Status, Transport, View } from "./contract.ts";
import { freshId, h, setText } from "./dom.ts";
import { type Header, header } from "./header.ts";
import { type InstructionsPart, instructionsPart } from "./instructions.ts";
import { recall, remember } from "./memory.ts";
import { Panes } from "./panes.ts";
import { poll } from "./poll.ts";
import { openShell, type Shell } from "./shell.ts";
import { splitter } from "./splitter.ts";
import { speak, strings } from "./strings.ts";
import style from "./style.css" with { type: "text" };
import { ConnectionLost, httpTransport } from "./transport.ts";

export { httpTransport };
export type * from "./contract.ts";

/** What a host may ask for. */
export interface Options {
  /** Stands at the end of the top line. */
  beside?: HTMLElement;
}

/**
 * Draws the lab that `transport` leads to. An element with the attribute `data-labkit-fill` is filled in height;
 * else the view takes a height that suits a notebook. Returns what takes the view away again.
 */
export function mount(element: HTMLElement, transport: Transport, options: Options = {}): () => void {
  const shell = openShell(element, "view", style);
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

interface LabView {
  refresh(): Promise<void>;
  redraw(): Promise<void>;
  close(): void;
}

function labView(view: View, transport: Transport, shell: Shell, failed: (error: Error) => void, options: Options): LabView {
  let status: Status = view;
  let version = 0; // counts what the learner did: an older status must not undo it on the screen
  const toast = h("p", { class: "toast", attributes: { role: "status" } });
  const say = sayer(toast);
  const request = inLanguage(transport.request);
  const panes = new Panes(view.credentials, { request, paneUrl: transport.paneUrl, say, failed });
  const main = h("div", { class: "main" });
  let [top, left] = draw(view);

  /** What is in words: drawn again in another language, while the panes live on. */
  function draw(fresh: View): [Header, InstructionsPart] {
    shell.root.lang = strings.language;
    const progressed = (progress: Progress): void => {
      version += 1;
      update({ ...status, progress });
    };
    const host = { request, failed, progressed, media: transport.media, actions: panes, say };
    const head = header(fresh.lab.title || fresh.instructions.title, fresh.instructions, (code) => void change(code));
    if (options.beside) head.element.append(options.beside);
    const part = instructionsPart(fresh.instructions, `page:${fresh.lab.id}`, {
      request, failed, progressed, content: (html) => blocks(html, host),
    });
    part.element.id = freshId("instructions");
    main.replaceChildren(part.element, splitter(main, part.element), panes.element);
    shell.root.replaceChildren(...[...shell.root.children].filter((one) => one.matches(".banner")), head.element, main, toast);
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
      const { scrollTop } = left.element;
      [top, left] = draw(fresh);
      update(fresh);
      left.element.scrollTop = scrollTop;
    } catch (error) {
      failed(error as Error);
    }
  }

  function update(fresh: Status): void {
    status = fresh;
    for (const part of [top, left, panes]) part.update(fresh);
  }

  shell.root.setAttribute("aria-label", view.lab.title);
  update(view);
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
