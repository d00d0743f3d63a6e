// What the page, the gateway and the embedding page say to each other. Types only, and the few pure readings of them.

export type PaneType = "terminal" | "console" | "vnc";
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

export type ToParent = { type: "labkit:ready" } | { type: "labkit:ticket-wanted" } | { type: "labkit:state"; state: PageState };
export type FromParent = { type: "labkit:ticket"; ticket: string } | { type: "labkit:type"; text: string };

export const STREAM_PROTOCOLS: Record<PaneType, string> = {
  terminal: "tty",
  console: "plain.kubevirt.io",
  vnc: "plain.kubevirt.io",
};

/** The message, if it is one that the embedding page may send; else null. */
export function fromParent(data: unknown): FromParent | null {
  if (typeof data !== "object" || data === null) return null;
  const { type, ticket, text } = data as Record<string, unknown>;
  if (type === "labkit:ticket" && typeof ticket === "string") return { type, ticket };
  if (type === "labkit:type" && typeof text === "string") return { type, text };
  return null;
}

/** The ticket in an address's fragment (`#ticket=…`), or null. */
export function ticketIn(fragment: string): string | null {
  return new URLSearchParams(fragment.replace(/^#/, "")).get("ticket") || null;
}

/** The machine and pane that a pane page's path names, for a title before anything is known of them. */
export function namesIn(path: string): { machine: string; pane: string } {
  const parts = path.split("/").filter((part) => part !== "");
  return { machine: parts.at(-2) ?? "", pane: parts.at(-1) ?? "" };
}
