// What the page, the gateway and the embedding page say to each other. Types only, and the few pure readings of them.

export type PaneType = "terminal" | "console" | "exec" | "vnc" | "http";
export type MachineState = "starting" | "running" | "paused" | "stopped" | "failed";

/** What the gateway answers to `state`. */
export interface PaneInfo {
  type: PaneType;
  title: string;
  machine: string;
  pane: string;
  state: MachineState;
  mode: "control" | "view";
  /** How many streams of this pane are open through the gateway. */
  streams: number;
  /** Of an http pane: what its page cannot do here, in words; empty where it has an origin of its own. */
  limits?: string;
}

/** What the gateway answers where it refuses. */
export interface Refusal {
  error: string;
  reason?: string;
  state?: MachineState;
}

export type PageState =
  | "connecting"
  | "connected"
  | "starting"
  | "stopped"
  | "paused"
  | "taken-over"
  | "lost"
  | "forbidden";

/** Why something asked of the machine was not done, or not to its end. */
export type Reason = "not-connected" | "view-only" | "no-keys" | "untypable" | "cut" | "cancelled";

export type ToParent =
  | { type: "labkit:ready" }
  | { type: "labkit:ticket-wanted" }
  | { type: "labkit:state"; state: PageState }
  | { type: "labkit:done"; id: string }
  | { type: "labkit:refused"; id: string; reason: Reason; text: string };

/** What an embedding page may ask for; each order is answered by `labkit:done` or `labkit:refused` with its id. */
export type Order =
  | { type: "labkit:type" | "labkit:run" | "labkit:paste"; id: string; text: string }
  | { type: "labkit:focus"; id: string };
export type FromParent = { type: "labkit:ticket"; ticket: string } | { type: "labkit:theme"; dark: boolean } | Order;

export const STREAM_PROTOCOLS: Record<Exclude<PaneType, "http">, string> = {
  terminal: "tty",
  exec: "tty",
  console: "plain.kubevirt.io",
  vnc: "plain.kubevirt.io",
};

/** The message, if it is one that the embedding page may send; else null. */
export function fromParent(data: unknown): FromParent | null {
  if (typeof data !== "object" || data === null) return null;
  const { type, ticket, dark, id, text } = data as Record<string, unknown>;
  if (type === "labkit:ticket") return typeof ticket === "string" ? { type, ticket } : null;
  if (type === "labkit:theme") return typeof dark === "boolean" ? { type, dark } : null;
  if (typeof id !== "string") return null;
  if (type === "labkit:focus") return { type, id };
  const types = type === "labkit:type" || type === "labkit:run" || type === "labkit:paste";
  return types && typeof text === "string" ? { type, id, text } : null;
}

/** What an address's fragment brings: a ticket, or a code that is good for one, once. */
export function broughtBy(fragment: string): { ticket: string | null; code: string | null } {
  const brought = new URLSearchParams(fragment.replace(/^#/, ""));
  return { ticket: brought.get("ticket") || null, code: brought.get("code") || null };
}

/** The machine and pane that a pane page's path names, for a title before anything is known of them. */
export function namesIn(path: string): { machine: string; pane: string } {
  const parts = path.split("/").filter((part) => part !== "");
  return { machine: parts.at(-2) ?? "", pane: parts.at(-1) ?? "" };
}
