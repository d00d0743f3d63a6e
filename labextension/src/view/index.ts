// The lab view: one module for every host. `mount` draws a lab into an element and keeps it up to date.
import { blocks } from "./blocks.ts";
import type { Progress, Status, Transport, View } from "./contract.ts";
import { freshId, h, setText } from "./dom.ts";
import { header } from "./header.ts";
import { instructionsPart } from "./instructions.ts";
import { Panes } from "./panes.ts";
import { poll } from "./poll.ts";
import { openShell, type Shell } from "./shell.ts";
import { splitter } from "./splitter.ts";
import { strings } from "./strings.ts";
import style from "./style.css" with { type: "text" };
import { ConnectionLost, httpTransport } from "./transport.ts";

export { httpTransport };
export type * from "./contract.ts";

/**
 * Draws the lab that `transport` leads to. An element with the attribute `data-labkit-fill` is filled in height;
 * else the view takes a height that suits a notebook. Returns what takes the view away again.
 */
export function mount(element: HTMLElement, transport: Transport): () => void {
  const shell = openShell(element, "view", style);
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
        const view = await transport.request("view", {});
        loading.remove();
        lab = labView(view, transport, shell, connection);
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
  const deafen = transport.onEvent(polling.now);
  polling.now();
  return () => {
    deafen();
    polling.close();
    lab?.close();
    transport.close?.();
    shell.close();
  };
}

interface LabView {
  refresh(): Promise<void>;
  close(): void;
}

function labView(view: View, transport: Transport, shell: Shell, failed: (error: Error) => void): LabView {
  let status: Status = view;
  let version = 0; // counts what the learner did: an older status must not undo it on the screen
  const toast = h("p", { class: "toast", attributes: { role: "status" } });
  const say = sayer(toast);
  const { request, paneUrl } = transport;
  const panes = new Panes(view.credentials, { request, paneUrl, say, failed });
  const top = header(view.lab.title || view.instructions.title, view.instructions);
  const left = instructionsPart(view.instructions, `page:${view.lab.id}`, {
    request,
    failed,
    content: (html) => blocks(html, { media: transport.media, actions: panes, say }),
    progressed: (progress: Progress) => {
      version += 1;
      update({ ...status, progress });
    },
  });

  function update(fresh: Status): void {
    status = fresh;
    for (const part of [top, left, panes]) part.update(fresh);
  }

  shell.root.setAttribute("aria-label", view.lab.title);
  left.element.id = freshId("instructions");
  const main = h("div", { class: "main" });
  main.append(left.element, splitter(main, left.element), panes.element);
  shell.root.append(top.element, main, toast);
  update(view);
  return {
    async refresh() {
      const before = version;
      const fresh = await request("status", {});
      update(version === before ? fresh : { ...fresh, progress: status.progress });
    },
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
