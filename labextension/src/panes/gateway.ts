// What the page asks of the gateway, at addresses relative to its own.

import { type PaneInfo, type PaneType, type Refusal, STREAM_PROTOCOLS } from "./contract.ts";
import { strings } from "./strings.ts";

export type Answer =
  | { kind: "info"; info: PaneInfo }
  | { kind: "refused"; status: number; refusal: Refusal }
  | { kind: "lost" };

const ANSWER_WITHIN_MS = 15_000;

/** Ask what the pane is and whether its machine runs. */
export async function askState(ticket: string | null): Promise<Answer> {
  try {
    const headers: Record<string, string> = ticket === null ? {} : { "Labkit-Ticket": ticket };
    const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
    const response = await fetch("state", { headers, signal, cache: "no-store", credentials: "same-origin" });
    if (response.ok) return { kind: "info", info: (await response.json()) as PaneInfo };
    const told = response.headers.get("Content-Type")?.startsWith("application/json") ?? false;
    const refusal = told ? ((await response.json()) as Refusal) : { error: strings.answered(response.status) };
    return { kind: "refused", status: response.status, refusal };
  } catch {
    return { kind: "lost" }; // no answer at all, or none that can be read: either way, worth another try
  }
}

export type Asked = { value: string } | { error: string };

/** POST to an address below a pane's page, and the one word of the answer that is wanted. */
async function ask(address: URL, word: string, headers: Record<string, string>, body?: object): Promise<Asked> {
  try {
    const response = await fetch(address, {
      method: "POST",
      // A header that a form of another site cannot send.
      headers: { ...headers, "Labkit-Request": "1" },
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
      cache: "no-store",
      credentials: "same-origin",
    });
    const said = (await response.json()) as Record<string, unknown>;
    const value = said[word];
    if (response.ok && typeof value === "string") return { value };
    return { error: typeof said["error"] === "string" ? said["error"] : strings.answered(response.status) };
  } catch {
    return { error: strings.away };
  }
}

/** A code that is good for one ticket to the pane at `page`, once. */
export function askCode(page: URL, ticket: string | null): Promise<Asked> {
  return ask(new URL("code", page), "code", ticket === null ? {} : { "Labkit-Ticket": ticket });
}

/** The ticket that a code is good for. */
export function redeem(code: string): Promise<Asked> {
  return ask(new URL("redeem", location.href), "ticket", {}, { code });
}

/** A pane's bytes, for one try. The ticket travels where no proxy echoes or logs it. */
export class Line {
  constructor(
    private readonly type: PaneType,
    private readonly ticket: string,
    private readonly heard: () => void,
  ) {}

  /** The stream. The ticket is its second subprotocol. */
  socket(): WebSocket {
    const address = new URL("stream", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    address.hash = "";
    address.search = "";
    if (this.type === "http") throw new Error("a page has no stream");
    const socket = new WebSocket(address, [STREAM_PROTOCOLS[this.type], `labkit.ticket.${this.ticket}`]);
    socket.addEventListener("message", this.heard);
    return socket;
  }

  /** The screen as a picture; null where there is none. */
  async screenshot(): Promise<Blob | null> {
    const response = await this.get("screenshot");
    return response?.ok ? await response.blob() : null;
  }

  /** The address of a machine's own page, good once. */
  visit(): Promise<Asked> {
    return ask(new URL("visit", location.href), "url", { "Labkit-Ticket": this.ticket });
  }

  /** The text of a machine's own page. */
  async preview(): Promise<Asked> {
    const response = await this.get("preview");
    if (response === null) return { error: strings.away };
    if (response.ok) return { value: await response.text() };
    return { error: ((await response.json()) as Refusal).error };
  }

  /** Whether the machine runs, as far as is known. */
  async runs(): Promise<boolean> {
    const answer = await askState(this.ticket);
    return answer.kind === "info" && answer.info.state === "running";
  }

  private async get(what: string): Promise<Response | null> {
    try {
      const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
      return await fetch(what, { headers: { "Labkit-Ticket": this.ticket }, signal, cache: "no-store" });
    } catch {
      return null;
    }
  }
}
