// What the lab view and its server say to each other: types only. The Python side is labkit/view.py.
// Times are UTC seconds since the epoch; every text is plain text except `html`, which the server has sanitised.

export type LabState = "queued" | "starting" | "running" | "paused" | "stopping" | "stopped" | "failed" | "lost";
export type MachineState = "starting" | "running" | "paused" | "stopped" | "failed";
export type Verdict = "passed" | "not_yet" | "error";
export type OperationState = "queued" | "running" | "done" | "failed" | "cancelled";

export interface Lab {
  id: string;
  template: string;
  title: string;
  state: LabState;
  detail: string;
  created: number;
  ended: number | null;
  /** When it will be ended without being asked, as things are. */
  ends: number | null;
}

export interface Pane {
  name: string;
  type: string;
  title: string;
}

export interface Machine {
  name: string;
  /** "vm" or "container"; not told by an older service. */
  type?: string;
  state: MachineState;
  detail: string;
  address: string;
  panes: Pane[];
}

export interface Credential {
  machine: string;
  user: string;
  /** Empty where there is none, as is `key`: a private SSH key. */
  password: string;
  key: string;
}

export interface HtmlPart {
  kind: "html";
  html: string;
}

export interface StepPart {
  kind: "step";
  id: string;
  title: string;
  points: number;
  check: boolean;
  /** Every how many seconds the check is run by itself, as long as the page is looked at; 0: it is not. */
  poll: number;
  html: string;
}

export interface Page {
  id: string;
  title: string;
  minutes: number | null;
  language: string;
  /** What there is to do, by id, and the points it is worth: also of a locked page, of which no part is sent. */
  steps: Record<string, number>;
  questions: Record<string, number>;
  requires: string[];
  locked: boolean;
  parts: (HtmlPart | StepPart)[];
}

export interface Instructions {
  title: string;
  language: string;
  languages: string[];
  pages: Page[];
}

export interface CheckResult {
  verdict: Verdict;
  feedback: string;
  time: number;
}

/** The last answer to a question: keys of choices, one text, or a file's path and size. `right` and `points` are null until a person has marked it. */
export interface AnswerState {
  given: string[];
  right: boolean | null;
  points: number | null;
  /** What the person who marked it says. */
  comment: string;
  /** How often it may still be answered; null: as often as one likes. */
  left: number | null;
  over: boolean;
  /** HTML that the server has sanitised. */
  feedback: string[];
  /** The right answers (keys of choices, or texts), once they are due. */
  solution: string[] | null;
}

export interface Progress {
  ticks: string[];
  results: Record<string, CheckResult>;
  /** The hints that were opened, with their HTML where that is not in the page already. */
  hints: Record<string, string>;
  answers: Record<string, AnswerState>;
  /** The pages that are still closed. */
  locked: string[];
  points: number;
  max_points: number;
}

/** What changes while a lab is looked at. */
export interface Status {
  lab: Lab;
  machines: Machine[];
  progress: Progress;
}

export interface View extends Status {
  credentials: Credential[];
  instructions: Instructions;
}

export interface PaneLink {
  path: string;
  ticket: string;
  expires: number;
  /** Where the gateway is, where it is not the host's own: a service's. */
  root?: string;
  /** Where the gateway is on the kernel's own computer; "" where it does not say. */
  direct?: string;
}

export interface OperationEvent {
  seq: number;
  stage: string;
  text: string;
  progress: number;
}

export interface Operation {
  state: OperationState;
  error: string;
  result: unknown;
}

/** Every method: what it takes (and `language`, which each may take) and what it answers. */
export interface Methods {
  view: { params: Record<string, never>; result: View };
  status: { params: Record<string, never>; result: Status };
  page: { params: { page: string }; result: { page: Page } };
  tick: { params: { step: string; done: boolean }; result: { progress: Progress } };
  answer: { params: { question: string; given: string[] }; result: { progress: Progress } };
  open_hint: { params: { hint: string }; result: { progress: Progress } };
  check: { params: { step: string }; result: { operation: string } };
  poll: { params: { step: string }; result: { operation: string } };
  collect: { params: { question: string }; result: { operation: string } };
  upload: { params: { upload: string }; result: { operation: string } };
  events: {
    params: { operation: string; after: number };
    result: { events: OperationEvent[]; operation: Operation; progress: Progress };
  };
  pause: { params: Record<string, never>; result: { operation: string } };
  resume: { params: Record<string, never>; result: { operation: string } };
  /** All machines, where `machine` is empty. */
  reset: { params: { machine: string }; result: { operation: string } };
  stop: { params: Record<string, never>; result: { operation: string } };
  extend: { params: { minutes: number }; result: { lab: Lab } };
  pane_link: { params: { machine: string; pane: string }; result: PaneLink };
}

/** Asks the server. Rejects with ConnectionLost where nobody answers, else with an Error whose message is one sentence. */
export type Request = <M extends keyof Methods>(method: M, params: Methods[M]["params"]) => Promise<Methods[M]["result"]>;

/** The way between the view and its server; the view knows nothing else of its host. */
export interface Transport {
  request: Request;
  /** A URL for an image of the instructions; `path` is below the template's media folder. */
  media(path: string): Promise<string>;
  /** The address of a pane page. Throws an Error with one sentence where this host can show none. */
  paneUrl(path: string): string;
  /** Calls back whenever the server says that something has changed; returns the way to stop that. */
  onEvent(callback: (event: unknown) => void): () => void;
  /** Gives back what the transport holds. */
  close?(): void;
}

/** What a pane page says to the page around it. */
export type PaneState =
  | "connecting" | "connected" | "starting" | "stopped" | "paused" | "taken-over" | "lost" | "forbidden";
export type FromPane =
  | { type: "labkit:ready" }
  | { type: "labkit:state"; state: PaneState }
  | { type: "labkit:ticket-wanted" }
  | { type: "labkit:done"; id: string }
  | { type: "labkit:refused"; id: string; reason: string; text: string };
/** What a pane page is asked to do; it answers with the order's id. */
export interface Order {
  type: "labkit:type" | "labkit:run" | "labkit:paste" | "labkit:focus";
  id: string;
  text: string;
}
/** What a pane page is told. */
export type ToPane = { type: "labkit:ticket"; ticket: string } | { type: "labkit:theme"; dark: boolean } | Order;
