// The pane page: the same script for every pane. What it shows it learns from the gateway, its ticket comes in the
// address's fragment (which no server sees) and is taken out of the address at once.

import "./panes.css";
import { type PaneInfo, namesIn, ticketIn } from "./contract.ts";
import { Embedder } from "./embedder.ts";
import { Page } from "./page.ts";
import { ScreenView } from "./screen.ts";
import { Session } from "./session.ts";
import { TextView } from "./text.ts";
import type { View } from "./view.ts";

const TICKET_WITHIN_MS = 10_000;

const ticket = ticketIn(location.hash);
if (location.hash !== "") history.replaceState(null, "", location.pathname + location.search);

const names = namesIn(location.pathname);
const page = new Page(`${names.machine} · ${names.pane}`, [
  { label: "Reconnect", title: "Close the connection and open it again", run: () => session.reconnect() },
  { label: "Paste", title: "Type what the clipboard holds (Ctrl+Shift+V)", run: () => void paste() },
]);
let view: View | null = null;

const embedder = new Embedder((message) => {
  if (message.type === "labkit:ticket") session.retry(message.ticket);
  else type(message.text);
});

const session = new Session(ticket, {
  say: (state, text) => {
    page.say(state, text);
    embedder.tell({ type: "labkit:state", state });
  },
  view: (info) => (view ??= makeView(info)),
  freshTicket: () => embedder.ticket(TICKET_WITHIN_MS),
});

/** Made when the kind of pane is known; it never changes. */
function makeView(info: PaneInfo): View {
  const label = `${info.title} of ${info.machine}`;
  page.name(`${info.machine} · ${info.title}`);
  document.body.dataset["pane"] = info.type;
  const leave = (): void => page.leave();
  const made =
    info.type === "vnc"
      ? new ScreenView(page.place, label, leave)
      : new TextView(page.place, info.type, label, leave, (text) => void copy(text));
  page.add(made.actions);
  return made;
}

function type(text: string): void {
  if (view === null || document.body.dataset["state"] !== "connected") {
    page.remark("Nothing was typed: the machine is not connected.");
    return;
  }
  view.type(text);
  view.focus();
}

async function copy(text: string): Promise<void> {
  if (text === "") {
    page.remark("Nothing is selected.");
    return;
  }
  try {
    await navigator.clipboard.writeText(text);
    page.remark("Copied.");
  } catch {
    page.remark("The browser does not let this page write to the clipboard.");
  }
}

async function paste(): Promise<void> {
  try {
    type(await navigator.clipboard.readText());
  } catch {
    page.remark("The browser does not let this page read the clipboard.");
  }
}

embedder.tell({ type: "labkit:ready" });
void session.run();
