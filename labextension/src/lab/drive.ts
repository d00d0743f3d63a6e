// The files of labs' machines as a drive of JupyterLab: LAB/MACHINE/path, over the gateway's routes, as the learner.
import { PathExt, URLExt } from "@jupyterlab/coreutils";
import { type Contents, ServerConnection } from "@jupyterlab/services";
import type { TranslationBundle } from "@jupyterlab/translation";
import { type ISignal, Signal } from "@lumino/signaling";
import { labs, ROOT, transport } from "./api.ts";

interface Entry {
  name: string;
  kind: "file" | "folder" | "link" | "other";
  size: number;
  modified: number;
}

interface Folder {
  path: string;
  entries: Entry[];
  /** Whether these are all: of a folder with very many, some are told. */
  complete: boolean;
}

interface Place {
  lab: string;
  machine: string;
  /** Absolute, in the machine. */
  path: string;
}

/** A ticket that ends within so many milliseconds is not used any more. */
const EARLY = 30_000;
const STEP = 0x8000;

export class MachineFiles implements Contents.IDrive {
  readonly name = "labkit";
  readonly serverSettings = ServerConnection.makeSettings();
  isDisposed = false;
  private readonly told = new Signal<this, Contents.IChangedArgs>(this);
  private readonly tickets = new Map<string, { ticket: string; expires: number }>();
  /** What has come of files that are sent in pieces. */
  private readonly pieces = new Map<string, Blob[]>();
  /** The names of what has an address to be downloaded from. */
  private readonly names = new Map<string, string>();

  constructor(private readonly trans: TranslationBundle) {}

  get fileChanged(): ISignal<this, Contents.IChangedArgs> {
    return this.told;
  }

  dispose(): void {
    this.isDisposed = true;
    Signal.clearData(this);
  }

  /** The drive's path of the folder in which a machine's learner is at home. */
  async home(lab: string, machine: string): Promise<string> {
    const { path } = await this.folder({ lab, machine, path: "." });
    return `${lab}/${machine}${path}`;
  }

  async get(localPath: string, options: Contents.IFetchOptions = {}): Promise<Contents.IModel> {
    const place = placeOf(localPath);
    if (place === undefined) return this.above(localPath);
    const known = place.path === "/" ? folderEntry("") : await this.entry(place);
    if (known.kind !== "folder" && options.type !== "directory") return this.file(localPath, place, known, options);
    const { entries } = await this.folder(place);
    return model(localPath, { ...known, kind: "folder" }, entries.map((one) => model(PathExt.join(localPath, one.name), one)));
  }

  async save(localPath: string, options: Partial<Contents.IModel> = {}): Promise<Contents.IModel> {
    const place = this.inside(localPath);
    if (options.type === "directory") await this.ask("POST", "folder", place);
    else if (!(await this.write(localPath, place, options))) return model(localPath, { ...folderEntry(""), kind: "file" });
    const saved = await this.get(localPath, { content: false });
    this.told.emit({ type: "save", oldValue: null, newValue: saved });
    return saved;
  }

  async newUntitled(options: Contents.ICreateOptions = {}): Promise<Contents.IModel> {
    const folder = options.type === "directory";
    const ending = options.ext ?? (options.type === "notebook" ? "ipynb" : "txt");
    const name = folder ? "Untitled Folder" : `untitled.${ending.replace(/^\./, "")}`;
    const path = await this.unused(options.path ?? "", name);
    if (folder) await this.ask("POST", "folder", this.inside(path));
    else await this.ask("PUT", "content", this.inside(path), new Blob([options.type === "notebook" ? EMPTY_NOTEBOOK : ""]));
    return this.changed("new", null, path);
  }

  async delete(localPath: string): Promise<void> {
    await this.ask("DELETE", "content", this.inside(localPath));
    this.told.emit({ type: "delete", oldValue: { path: localPath }, newValue: null });
  }

  async rename(oldLocalPath: string, newLocalPath: string): Promise<Contents.IModel> {
    const [from, to] = [this.inside(oldLocalPath), this.inside(newLocalPath)];
    if (from.lab !== to.lab || from.machine !== to.machine) throw new Error(this.trans.__("A file is moved within one machine only."));
    await this.ask("POST", "rename", from, undefined, { to: to.path });
    return this.changed("rename", oldLocalPath, newLocalPath);
  }

  async copy(localPath: string, toLocalDir: string): Promise<Contents.IModel> {
    const content = await (await this.ask("GET", "content", this.inside(localPath))).blob();
    const path = await this.unused(toLocalDir, PathExt.basename(localPath));
    await this.ask("PUT", "content", this.inside(path), content);
    return this.changed("new", null, path);
  }

  /** The bytes themselves: an address of the gateway's would need a ticket, which must not stand in an address. */
  async getDownloadUrl(localPath: string): Promise<string> {
    const url = URL.createObjectURL(await (await this.ask("GET", "content", this.inside(localPath))).blob());
    this.names.set(url, PathExt.basename(localPath));
    setTimeout(() => {
      URL.revokeObjectURL(url);
      this.names.delete(url);
    }, 60_000);
    return url;
  }

  /** The name of the file whose bytes are at an address that this drive gave. */
  nameAt(url: string): string | undefined {
    return this.names.get(url);
  }

  /** JupyterLab wants one at each save, and would show a refusal; none is kept, as the list says. */
  async createCheckpoint(): Promise<Contents.ICheckpointModel> {
    return { id: "none", last_modified: new Date().toISOString() };
  }

  async listCheckpoints(): Promise<Contents.ICheckpointModel[]> {
    return [];
  }

  async restoreCheckpoint(): Promise<void> {
    throw new Error(this.trans.__("Of a machine's files no earlier versions are kept."));
  }

  async deleteCheckpoint(): Promise<void> {
    throw new Error(this.trans.__("Of a machine's files no earlier versions are kept."));
  }

  /** What is above machines: the labs that run, and a lab's machines. */
  private async above(localPath: string): Promise<Contents.IModel> {
    const found = await labs();
    const lab = found.find(({ id }) => id === localPath);
    if (localPath !== "" && lab === undefined) throw new Error(this.trans.__("There is no lab %1.", localPath));
    const names = lab ? lab.machines.map(({ name }) => name) : found.map(({ id }) => id);
    const below = names.map((name) => model(PathExt.join(localPath, name), folderEntry(name)));
    return { ...model(localPath, folderEntry(PathExt.basename(localPath)), below), writable: false };
  }

  private async file(
    localPath: string, place: Place, known: Entry, options: Contents.IFetchOptions,
  ): Promise<Contents.IModel> {
    const found = model(localPath, known);
    if (options.content === false) return found;
    const bytes = new Uint8Array(await (await this.ask("GET", "content", place)).arrayBuffer());
    if (options.format === "base64") return { ...found, format: "base64", content: base64(bytes) };
    const text = textOf(bytes);
    if (text === undefined && options.format === "text") throw new Error(this.trans.__("%1 is not text in UTF-8.", known.name));
    if (text === undefined) return { ...found, format: "base64", content: base64(bytes) };
    if ((options.type ?? found.type) !== "notebook") return { ...found, type: "file", format: "text", content: text };
    return { ...found, type: "notebook", format: "json", content: JSON.parse(text) as unknown };
  }

  /** Writes a file, or keeps a piece of it (JupyterLab counts them from 1; the last is -1). Whether it is written. */
  private async write(localPath: string, place: Place, options: Partial<Contents.IModel> & { chunk?: number }): Promise<boolean> {
    const { chunk = 1 } = options;
    const before = chunk === 1 ? [] : this.pieces.get(localPath);
    this.pieces.delete(localPath); // what fails or begins anew leaves nothing in memory
    if (before === undefined) throw new Error(this.trans.__("The upload of %1 was broken off: begin it anew.", place.path));
    const pieces = [...before, blobOf(options)];
    const whole = options.chunk === undefined || chunk === -1;
    if (whole) await this.ask("PUT", "content", place, new Blob(pieces));
    else this.pieces.set(localPath, pieces);
    return whole;
  }

  private async changed(type: "new" | "rename", from: string | null, path: string): Promise<Contents.IModel> {
    const newValue = await this.get(path, { content: false });
    this.told.emit({ type, oldValue: from === null ? null : { path: from }, newValue });
    return newValue;
  }

  private async entry(place: Place): Promise<Entry> {
    const name = PathExt.basename(place.path);
    const { entries, complete } = await this.folder({ ...place, path: place.path.replace(/\/[^/]*$/, "") || "/" });
    const found = entries.find((one) => one.name === name) ?? (complete ? undefined : await this.unlisted(place, name));
    if (found === undefined) throw new Error(this.trans.__("There is no %1 in %2.", place.path, place.machine));
    return found;
  }

  /** What is in a folder of which not all is told. */
  private async unlisted(place: Place, name: string): Promise<Entry> {
    if (await this.folder(place).then(() => true, () => false)) return folderEntry(name);
    const content = await this.ask("GET", "content", place); // what is not there, or cannot be asked, is said here
    await content.body?.cancel();
    return { name, kind: "file", size: Number(content.headers.get("Content-Length")), modified: 0 };
  }

  /** A name that nothing has. Which those are is not known of a folder of which not all is told. */
  private async unused(folder: string, wanted: string): Promise<string> {
    const { entries, complete } = await this.folder(this.inside(folder));
    if (!complete) throw new Error(this.trans.__("There is too much in %1 to find a free name for %2.", folder, wanted));
    const [ending, names] = [PathExt.extname(wanted), new Set(entries.map(({ name }) => name))];
    const stem = wanted.slice(0, wanted.length - ending.length);
    let name = wanted;
    for (let number = 1; names.has(name); number += 1) name = `${stem}${number}${ending}`;
    return PathExt.join(folder, name);
  }

  private inside(localPath: string): Place {
    const place = placeOf(localPath);
    if (place === undefined) throw new Error(this.trans.__("Here are labs and machines: files are in a machine."));
    return place;
  }

  private async folder(place: Place): Promise<Folder> {
    return (await (await this.ask("GET", "folder", place)).json()) as Folder;
  }

  private async ask(
    method: string, what: string, { lab, machine, path }: Place, body?: Blob, more: Record<string, string> = {},
  ): Promise<Response> {
    const url = `${URLExt.join(ROOT, "files", lab, machine, what)}?${new URLSearchParams({ path, ...more })}`;
    const send = async (): Promise<Response> => {
      const headers = { "Labkit-Ticket": await this.ticket(lab, machine), "Labkit-Request": "1" };
      return ServerConnection.makeRequest(url, { method, headers, ...(body ? { body } : {}) }, this.serverSettings);
    };
    let response = await send();
    let said = await refusal(response);
    // "denied" are the machine's words; any other 403 is about the ticket, which may have ended by the gateway's clock.
    if (response.status === 403 && said.reason !== "denied" && this.tickets.delete(`${lab}/${machine}`)) {
      response = await send();
      said = await refusal(response);
    }
    if (response.ok) return response;
    throw new Error(said.error ?? said.message ?? this.trans.__("The server answered %1.", String(response.status)));
  }

  private async ticket(lab: string, machine: string): Promise<string> {
    const known = this.tickets.get(`${lab}/${machine}`);
    if (known && known.expires * 1000 > Date.now() + EARLY) return known.ticket;
    const request = transport(lab).request;
    const found = (await request("status", {})).machines.find(({ name }) => name === machine);
    const pane = found?.panes[0];
    if (pane === undefined) throw new Error(this.trans.__("Machine %1 has no pane, and so no way to its files.", machine));
    const link = await request("pane_link", { machine, pane: pane.name });
    this.tickets.set(`${lab}/${machine}`, link);
    return link.ticket;
  }
}

interface Refusal {
  reason?: string;
  error?: string;
  message?: string;
}

async function refusal(response: Response): Promise<Refusal> {
  return response.ok ? {} : ((await response.json().catch(() => ({}))) as Refusal);
}

const EMPTY_NOTEBOOK = JSON.stringify({ cells: [], metadata: {}, nbformat: 4, nbformat_minor: 5 });

const folderEntry = (name: string): Entry => ({ name, kind: "folder", size: 0, modified: 0 });

/** Where in which machine a path of the drive is; undefined above machines. */
function placeOf(localPath: string): Place | undefined {
  const [lab = "", machine, ...rest] = localPath.split("/").filter(Boolean);
  return machine === undefined ? undefined : { lab, machine, path: `/${rest.join("/")}` };
}

function model(path: string, entry: Entry, content: Contents.IModel[] | null = null): Contents.IModel {
  const folder = entry.kind === "folder";
  const type = folder ? "directory" : entry.name.endsWith(".ipynb") ? "notebook" : "file";
  const time = new Date(entry.modified * 1000).toISOString();
  return {
    name: entry.name || PathExt.basename(path), path, type, writable: true, created: time, last_modified: time,
    mimetype: "", format: content ? "json" : null, content, ...(folder ? {} : { size: entry.size }),
  } as Contents.IModel;
}

/** What a model that is to be saved holds. */
function blobOf({ format, content }: Partial<Contents.IModel>): Blob {
  if (format === "base64") return new Blob([Uint8Array.from(atob(String(content)), (one) => one.charCodeAt(0))]);
  if (format === "json") return new Blob([`${JSON.stringify(content, null, 1)}\n`]);
  return new Blob([String(content ?? "")]);
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function base64(bytes: Uint8Array): string {
  let found = "";
  for (let start = 0; start < bytes.length; start += STEP) found += String.fromCharCode(...bytes.subarray(start, start + STEP));
  return btoa(found);
}
