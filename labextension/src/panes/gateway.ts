// The two things that the page asks of the gateway, at addresses relative to its own.

import { type PaneInfo, type PaneType, type Refusal, STREAM_PROTOCOLS } from "./contract.ts";

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
    const refusal = told ? ((await response.json()) as Refusal) : { error: `The server answered ${response.status}.` };
    return { kind: "refused", status: response.status, refusal };
  } catch {
    return { kind: "lost" }; // no answer at all, or none that can be read: either way, worth another try
  }
}

/** The pane's stream. The ticket is the second subprotocol, which no proxy echoes or logs. */
export function openStream(type: PaneType, ticket: string): WebSocket {
  const address = new URL("stream", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  address.hash = "";
  address.search = "";
  return new WebSocket(address, [STREAM_PROTOCOLS[type], `labkit.ticket.${ticket}`]);
}
