// The machine's files as its learner has them: a folder's list, files down by a click, files up by choosing them.

import { freshId, h, setText } from "../view/dom.ts";
import { save } from "./save.ts";
import { strings } from "./strings.ts";

interface Entry {
  name: string;
  kind: "file" | "folder" | "link" | "other";
  size: number;
}

interface Folder {
  path: string;
  entries: Entry[];
  complete: boolean;
}

type Progress = (done: number, all: number) => void;

const button = (label: string, click: () => void): HTMLButtonElement =>
  h("button", { attributes: { type: "button" }, on: { click } }, label);

/** An address of the files of the machine whose pane is at `page` (…/panes/<lab>/<machine>/<pane>/). */
function address(page: string, what: "folder" | "content", path: string): URL {
  const [lab, machine] = new URL(page).pathname.split("/").slice(-4, -2);
  const found = new URL(`../../../../files/${lab}/${machine}/${what}`, page);
  found.hash = "";
  found.search = new URLSearchParams({ path }).toString();
  return found;
}

const headers = (ticket: string): Record<string, string> => ({ "Labkit-Ticket": ticket, "Labkit-Request": "1" });

async function asked(url: URL, ticket: string, signal: AbortSignal): Promise<Response> {
  const response = await fetch(url, { headers: headers(ticket), cache: "no-store", signal });
  if (response.ok) return response;
  throw new Error(((await response.json()) as { error?: string }).error ?? strings.answered(response.status));
}

async function download(url: URL, ticket: string, signal: AbortSignal, progress: Progress): Promise<Blob> {
  const response = await asked(url, ticket, signal);
  const all = Number(response.headers.get("Content-Length") ?? 0);
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  const reader = response.body?.getReader();
  for (let done = 0, read = await reader?.read(); read?.value; read = await reader?.read()) {
    pieces.push(read.value);
    done += read.value.length;
    progress(done, all);
  }
  return new Blob(pieces);
}

/** By XMLHttpRequest: fetch tells nothing of how far it is. */
function upload(url: URL, ticket: string, file: File, signal: AbortSignal, progress: Progress): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", url);
    for (const [name, value] of Object.entries(headers(ticket))) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded }) => progress(loaded, file.size);
    request.onerror = request.onabort = () => reject(new Error(strings.files.brokenOff(file.name)));
    request.onload = () => {
      if (request.status < 300) return resolve();
      const said = /^application\/json/.test(request.getResponseHeader("Content-Type") ?? "");
      reject(new Error(said ? (JSON.parse(request.responseText) as { error: string }).error : strings.answered(request.status)));
    };
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

export class FilesDialog {
  private readonly told = h("p", { class: "told", attributes: { role: "status" } });
  private readonly list = h("ul", { class: "files" });
  private readonly progress = h("progress", { attributes: { max: 1, hidden: true, "aria-label": strings.files.progress } });
  private readonly chooser = h("input", { attributes: { type: "file", multiple: true, hidden: true } });
  private readonly element: HTMLDialogElement;
  private folder = ".";
  private work = new AbortController();

  /** `ticket` gives one that is good now. */
  constructor(private readonly ticket: () => Promise<string>) {
    const heading = h("h2", { attributes: { id: freshId("files") } }, strings.files.title);
    const send = button(strings.files.upload, () => this.chooser.click());
    send.classList.add("primary");
    this.element = h("dialog", { attributes: { "aria-labelledby": heading.id } }, heading, this.told, this.list,
      this.progress, this.chooser, h("div", { class: "row" }, button(strings.close, () => this.element.close()), send));
    this.chooser.addEventListener("change", () => void this.upload([...(this.chooser.files ?? [])]));
    this.element.addEventListener("close", () => this.work.abort());
    document.body.append(this.element);
  }

  open(): void {
    this.element.showModal();
    void this.show(this.folder);
  }

  private show(path: string): Promise<boolean> {
    return this.doing(async (ticket, signal) => {
      const response = await asked(address(location.href, "folder", path), ticket, signal);
      const { path: whole, entries, complete } = (await response.json()) as Folder;
      this.folder = whole;
      const up = button("..", () => void this.show(`${whole}/..`));
      const rows = entries.map((entry) => h("li", {}, this.row(entry)));
      this.list.replaceChildren(...(whole === "/" ? [] : [h("li", {}, up)]), ...rows);
      return complete ? whole : strings.files.incomplete(whole, entries.length);
    });
  }

  private row({ name, kind, size }: Entry): HTMLElement {
    const path = `${this.folder}/${name}`;
    if (kind === "folder") return button(`${name}/`, () => void this.show(path));
    return h("span", {}, button(name, () => void this.download(path, name)), " ", strings.files.size(size));
  }

  private download(path: string, name: string): Promise<boolean> {
    return this.doing(async (ticket, signal) => {
      save(await download(address(location.href, "content", path), ticket, signal, this.moved), name);
      return strings.files.saved(name);
    });
  }

  private async upload(chosen: File[]): Promise<void> {
    this.chooser.value = "";
    for (const file of chosen) {
      const sent = await this.doing(async (ticket, signal) => {
        await upload(address(location.href, "content", `${this.folder}/${file.name}`), ticket, file, signal, this.moved);
        return strings.files.saved(file.name);
      });
      if (!sent) return;
    }
    if (chosen.length > 0) await this.show(this.folder);
  }

  private readonly moved: Progress = (done, all) => {
    this.progress.value = all > 0 ? done / all : 1;
    setText(this.told, strings.files.moved(done, all));
  };

  /** One thing at a time; what it returns, or why it failed, is said. False where it failed. */
  private async doing(act: (ticket: string, signal: AbortSignal) => Promise<string>): Promise<boolean> {
    this.work.abort();
    const { signal } = (this.work = new AbortController());
    this.progress.value = 0;
    this.progress.hidden = false;
    try {
      setText(this.told, await act(await this.ticket(), signal));
      return true;
    } catch (error) {
      if (!signal.aborted) setText(this.told, error instanceof TypeError ? strings.away : (error as Error).message);
      return false;
    } finally {
      if (!signal.aborted) this.progress.hidden = true;
    }
  }
}
