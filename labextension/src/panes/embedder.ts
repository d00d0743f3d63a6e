// The page that holds this one in a frame, if it is of our own origin: where tickets and texts to type come from.

import { type FromParent, type ToParent, fromParent } from "./contract.ts";

export class Embedder {
  private readonly waiting = new Set<(ticket: string) => void>();

  /** `hear` is called for every message that may be believed. */
  constructor(private readonly hear: (message: FromParent) => void) {
    window.addEventListener("message", (event) => {
      if (event.origin !== location.origin || event.source !== window.parent || !this.there) return;
      const message = fromParent(event.data);
      if (message === null) return;
      if (message.type === "labkit:ticket") for (const resolve of this.waiting) resolve(message.ticket);
      this.hear(message);
    });
  }

  get there(): boolean {
    return window.parent !== window;
  }

  /** Tell it something; a page of another origin hears nothing. */
  tell(message: ToParent): void {
    if (this.there) window.parent.postMessage(message, location.origin);
  }

  /** Ask it for a ticket; null where none comes in time. */
  ticket(withinMs: number): Promise<string | null> {
    if (!this.there) return Promise.resolve(null);
    return new Promise((resolve) => {
      const done = (ticket: string | null): void => {
        window.clearTimeout(timer);
        this.waiting.delete(done);
        resolve(ticket);
      };
      const timer = window.setTimeout(() => done(null), withinMs);
      this.waiting.add(done);
      this.tell({ type: "labkit:ticket-wanted" });
    });
  }
}
