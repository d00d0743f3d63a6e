// A machine's own web page. It is never on our origin: it has one of its own, in a frame, or is shown as bare text.

import { h } from "../view/dom.ts";
import type { Line } from "./gateway.ts";
import { type Listener, OnlyShown } from "./view.ts";

/** What a machine's page may do in its frame: all that a page does, but leave with the window around it. */
const SANDBOX = "allow-scripts allow-same-origin allow-forms allow-modals allow-downloads allow-popups";
/** A page says nothing of its machine's end: it is asked for. Milliseconds. */
const ASK_MS = 10_000;

export class SiteView extends OnlyShown {
  private readonly limits = h("p", { class: "limits", attributes: { role: "note" } });
  private frame: HTMLIFrameElement | null = null;

  /** `limits` is what a page without an origin of its own cannot do, in words; empty where it has one. */
  constructor(
    private readonly place: HTMLElement,
    private readonly label: string,
    limits: string,
    private readonly remark: (text: string) => void,
  ) {
    super("no-keys");
    this.limits.textContent = limits;
    this.limits.hidden = limits === "";
    place.append(this.limits);
  }

  open(line: Line, listener: Listener): void {
    let timer = 0;
    const stillOpen = this.begin(listener, () => window.clearInterval(timer));
    const load = async (): Promise<void> => {
      const found = await (this.limits.hidden ? line.visit() : line.preview());
      if (!stillOpen()) return;
      if ("error" in found) {
        this.end();
        return this.remark(found.error);
      }
      this.show(this.limits.hidden ? { src: found.value, sandbox: SANDBOX } : { srcdoc: found.value, sandbox: "" });
      listener.alive();
      timer = window.setInterval(() => void line.runs().then((runs) => runs || !stillOpen() || this.end()), ASK_MS);
    };
    void load();
  }

  focus(): void {
    this.frame?.focus();
  }

  private show(attributes: Record<string, string>): void {
    this.frame?.remove();
    this.frame = h("iframe", { class: "site", attributes: { title: this.label, ...attributes } });
    this.place.append(this.frame);
  }
}
