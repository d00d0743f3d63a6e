// The page that holds this one in a frame, if it is of our own origin: where tickets and orders come from. A page in a
// window of its own has nobody around it: it asks the framed pages of the same pane.

import { type FromParent, type ToParent, fromParent } from "./contract.ts";

/** What pages of one pane say to each other, in any window of this browser. */
type Shared = { pane: string; wanted: true } | { pane: string; ticket: string };

export class Embedder {
  private readonly waiting = new Set<(ticket: string) => void>();
  private readonly channel = new BroadcastChannel("labkit:tickets");

  /** `hear` is called for every message that may be believed. */
  constructor(private readonly hear: (message: FromParent) => void) {
    window.addEventListener("message", (event) => {
      if (event.origin !== location.origin || event.source !== window.parent || !this.there) return;
      const message = fromParent(event.data);
      if (message === null) return;
      if (message.type === "labkit:ticket") {
        this.got(message.ticket);
        this.share({ pane: location.pathname, ticket: message.ticket });
      }
      this.hear(message);
    });
    this.channel.addEventListener("message", ({ data }: MessageEvent<Shared>) => {
      if (data.pane !== location.pathname) return;
      if ("wanted" in data) this.tell({ type: "labkit:ticket-wanted" });
      else this.got(data.ticket);
    });
  }

  get there(): boolean {
    return window.parent !== window;
  }

  /** Tell it something; a page of another origin hears nothing. */
  tell(message: ToParent): void {
    if (this.there) window.parent.postMessage(message, location.origin);
  }

  /** Ask for a ticket; null where none comes in time. */
  ticket(withinMs: number): Promise<string | null> {
    return new Promise((resolve) => {
      const done = (ticket: string | null): void => {
        window.clearTimeout(timer);
        this.waiting.delete(done);
        resolve(ticket);
      };
      const timer = window.setTimeout(() => done(null), withinMs);
      this.waiting.add(done);
      if (this.there) this.tell({ type: "labkit:ticket-wanted" });
      else this.share({ pane: location.pathname, wanted: true });
    });
  }

  private got(ticket: string): void {
    for (const resolve of this.waiting) resolve(ticket);
  }

  private share(message: Shared): void {
    this.channel.postMessage(message);
  }
}
