// One pane in its frame: fetches the link, loads the pane page, and speaks the message contract with it.
import type { FromPane, Order, Pane, PaneLink, PaneState, Request, ToPane, Transport } from "./contract.ts";
import { h } from "./dom.ts";
import { Orders } from "./orders.ts";
import { strings } from "./strings.ts";
import { NoPanesHere } from "./transport.ts";

export interface FrameHost {
  request: Request;
  paneUrl: Transport["paneUrl"];
  stateChanged(): void;
  failed(error: Error): void;
}

/** How long a loaded frame may say nothing: then it is no pane page but, say, a sign-in or an error page. Milliseconds. */
const SILENCE = 3000;
/** A link's ticket is made anew so long before it ends, every hour at least, and where that failed so soon again. Milliseconds. */
const [EARLY, LATEST, SOON] = [60_000, 3_600_000, 15_000];

/** An address of a pane for a window of its own, with a code that is good once: it may stay in the browser's history. */
export async function windowAddress(
  machine: string, pane: string, host: Pick<FrameHost, "request" | "paneUrl">,
): Promise<string> {
  const [page = "", fragment = ""] = (await paneAddress(machine, pane, host)).split("#");
  const ticket = new URLSearchParams(fragment).get("ticket") ?? "";
  const response = await fetch(new URL("code", page), {
    method: "POST", headers: { "Labkit-Ticket": ticket, "Labkit-Request": "1" }, credentials: "same-origin", referrerPolicy: "no-referrer",
  });
  const said = (await response.json()) as { code?: string; error?: string };
  if (said.code === undefined) throw new Error(said.error ?? strings.serviceSaid(response.status));
  return `${page}#code=${said.code}`;
}

/** A fresh address of a pane. The ticket is in the fragment: it reaches no server, no log, no Referer header. */
export async function paneAddress(
  machine: string, pane: string, host: Pick<FrameHost, "request" | "paneUrl">,
): Promise<string> {
  host.paneUrl(""); // a host without panes says so before a ticket is made
  const link = await host.request("pane_link", { machine, pane });
  // A service's own address, where it is of this page's origin (as behind a Hub): else no message could pass.
  const near = link.root !== undefined && new URL(link.root).origin === location.origin;
  const page = near ? `${link.root?.replace(/\/$/, "")}/${link.path}` : host.paneUrl(link.path);
  return `${page}#ticket=${link.ticket}`;
}

export class PaneFrame {
  readonly element: HTMLElement;
  /** What the pane page last said of itself. */
  state: PaneState | undefined;
  private readonly frame: HTMLIFrameElement;
  private readonly notice = h("p", { attributes: { role: "status" } });
  private readonly again = h("button", { attributes: { type: "button" }, on: { click: () => void this.load() } }, strings.tryAgain);
  private readonly orders = new Orders();
  private theme: MutationObserver | undefined;
  private heard = false;
  private silence: ReturnType<typeof setTimeout> | undefined;
  private renewal: ReturnType<typeof setTimeout> | undefined;
  private asking: Promise<PaneLink> | undefined;

  constructor(private readonly machine: string, private readonly pane: Pane, private readonly host: FrameHost) {
    this.frame = h("iframe", {
      attributes: {
        title: strings.paneTitle(machine, pane.title),
        allow: "clipboard-read; clipboard-write; fullscreen",
        referrerpolicy: "no-referrer", // the address of a page of Jupyter's may have its token
        // Our own pages: they need their origin for their stream, but no pop-ups, forms or way to the top window. What
        // holds for a frame holds for those in it too, so a machine's own page needs that its pane may do more.
        sandbox: `allow-scripts allow-same-origin allow-downloads${pane.type === "http" ? " allow-forms allow-modals allow-popups" : ""}`,
      },
    });
    this.element = h("div", { class: "pane" });
    this.frame.addEventListener("load", () => {
      if (!this.heard) this.silence = setTimeout(() => this.tell(strings.paneSilent), SILENCE);
    });
    addEventListener("message", this.hear);
    void this.load();
  }

  /** Shows or hides the pane. Hidden it lives on, at its size: a terminal of no size would tell its machine so. */
  show(visible: boolean): void {
    this.element.classList.toggle("away", !visible);
    this.element.inert = !visible;
  }

  /** Has the pane do something as soon as it is connected. Rejects with one sentence where it is not done in time. */
  order(type: Order["type"], text: string): Promise<void> {
    const done = this.orders.add(type, text, strings.notTyped(this.machine));
    if (this.state === "connected") this.flush();
    if (type === "labkit:focus") this.frame.focus();
    return done;
  }

  /** Loads the page anew, with a fresh ticket. */
  reload(): void {
    this.heard = false;
    void this.load();
  }

  close(): void {
    removeEventListener("message", this.hear);
    clearTimeout(this.silence);
    clearTimeout(this.renewal);
    this.theme?.disconnect();
    this.element.remove();
  }

  private async load(): Promise<void> {
    this.tell(strings.openingPane);
    clearTimeout(this.renewal);
    this.again.hidden = true;
    try {
      this.frame.src = await paneAddress(this.machine, this.pane.name, this.host);
      this.element.replaceChildren(this.frame);
    } catch (error) {
      this.tell((error as Error).message);
      if (error instanceof NoPanesHere) await this.link();
      else this.host.failed(error as Error);
    }
  }

  /** Where no frame can be: a link for a browser, whose ticket is always a fresh one. */
  private async link(): Promise<void> {
    let wait = SOON;
    try {
      const link = await this.host.request("pane_link", { machine: this.machine, pane: this.pane.name });
      this.offer(link);
      wait = Math.min(LATEST, Math.max(EARLY, link.expires * 1000 - Date.now() - EARLY));
    } catch (error) {
      this.host.failed(error as Error);
    }
    clearTimeout(this.renewal);
    this.renewal = setTimeout(() => void (this.element.isConnected && this.link()), wait);
  }

  private offer({ path, ticket, root, direct }: PaneLink): void {
    const where = root || direct;
    if (!where) return this.tell(strings.panesNeedJupyter); // no gateway says where it is
    const title = strings.paneTitle(this.machine, this.pane.title);
    const attributes = { href: `${where.replace(/\/$/, "")}/${path}#ticket=${ticket}`, target: "_blank", rel: "noreferrer" };
    const made = h("a", { attributes }, root ? strings.openService(title) : strings.openInBrowser(title));
    this.element.replaceChildren(h("div", { class: "notice" }, this.notice, made));
  }

  /** A sentence in the pane's place, with a way to try again. */
  private tell(sentence: string): void {
    this.notice.textContent = sentence;
    this.again.hidden = false;
    this.element.replaceChildren(h("div", { class: "notice" }, this.notice, this.again));
  }

  private readonly hear = (event: MessageEvent): void => {
    if (event.origin !== location.origin || event.source === null || event.source !== this.frame.contentWindow) return;
    const message = event.data as FromPane | null;
    this.heard = true; // often before the frame's load event
    clearTimeout(this.silence);
    if (message?.type === "labkit:ticket-wanted") void this.sendTicket();
    if (message?.type === "labkit:done") this.orders.answered(message.id);
    if (message?.type === "labkit:refused") this.orders.answered(message.id, message.text);
    if (message?.type === "labkit:ready") this.followTheme();
    if (message?.type !== "labkit:state") return;
    this.state = message.state;
    if (message.state === "connected") this.flush();
    this.host.stateChanged();
  };

  private async sendTicket(): Promise<void> {
    if (this.asking) return; // one at a time, however often the page asks
    try {
      this.asking = this.host.request("pane_link", { machine: this.machine, pane: this.pane.name });
      this.post({ type: "labkit:ticket", ticket: (await this.asking).ticket });
    } catch (error) {
      this.host.failed(error as Error);
    } finally {
      this.asking = undefined;
    }
  }

  private flush(): void {
    this.orders.flush((order) => this.post(order));
  }

  /** Light or dark as the view is, which follows JupyterLab: a frame by itself would follow the system. */
  private followTheme(): void {
    const root = this.element.getRootNode();
    if (!(root instanceof ShadowRoot)) return;
    const { dataset } = root.host as HTMLElement;
    const send = (): void => this.post({ type: "labkit:theme", dark: dataset["theme"] === "dark" });
    this.theme?.disconnect();
    this.theme = new MutationObserver(send);
    this.theme.observe(root.host, { attributes: true, attributeFilter: ["data-theme"] });
    send();
  }

  private post(message: ToPane): void {
    this.frame.contentWindow?.postMessage(message, location.origin);
  }
}
