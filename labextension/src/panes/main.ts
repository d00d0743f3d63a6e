// The pane page: the same script for every pane. What it shows it learns from the gateway; its ticket, or a code for
// one, comes in the address's fragment (which no server sees) and is taken out of the address at once.

import "./panes.css";
import { copyText } from "../view/copy.ts";
import { type Order, type PaneInfo, type Reason, broughtBy, namesIn } from "./contract.ts";
import { Embedder } from "./embedder.ts";
import { FilesDialog } from "./files.ts";
import { redeem } from "./gateway.ts";
import { Page } from "./page.ts";
import { PasteDialog } from "./paste.ts";
import { recall, remember } from "./prefs.ts";
import { ScreenView } from "./screen.ts";
import { Session } from "./session.ts";
import { SiteView } from "./site.ts";
import { settings } from "./settings.ts";
import { strings } from "./strings.ts";
import { TextView } from "./text.ts";
import { type Action, Refused, type View } from "./view.ts";
import { WatchView } from "./watch.ts";
import { openWindow } from "./window.ts";

/** Milliseconds: a page around this one asks its server, another window may not be there at all. */
const TICKET_WITHIN = { framed: 10_000, alone: 2_000 };

const brought = broughtBy(location.hash);
if (location.hash !== "") history.replaceState(null, "", location.pathname + location.search);

const names = namesIn(location.pathname);
const page = new Page(`${names.machine} · ${names.pane}`, {
  label: strings.reconnect, title: strings.reconnectTitle, run: () => session.reconnect(),
});
const remark = (text: string): void => page.remark(text);
const dialog = new PasteDialog(remark);
const files = new FilesDialog(() => session.goodTicket());
let prefs = recall();
let view: View | null = null;
let watch = false;

const embedder = new Embedder((message) => {
  if (message.type === "labkit:ticket") session.retry(message.ticket);
  else if (message.type === "labkit:theme") document.documentElement.dataset["theme"] = message.dark ? "dark" : "light";
  else void obey(message);
});
// A page that holds this one has its own buttons for these.
const forWindow: readonly Action[] = embedder.there ? [] : [
  { label: strings.fullScreen, title: strings.fullScreenTitle, run: () => void fullScreen() },
  {
    label: strings.newWindow, title: strings.newWindowTitle,
    run: () => void openWindow(new URL(location.href), session.ticket, remark),
  },
];
for (const type of ["keydown", "pointerdown"]) page.place.addEventListener(type, () => session.touched(), { capture: true });
document.body.classList.toggle("framed", embedder.there);

const session = new Session(brought.ticket, {
  say: (state, text) => {
    page.say(state, text);
    embedder.tell({ type: "labkit:state", state });
  },
  view: (info) => (view ??= makeView(info)),
  greeting: ({ machine }) => {
    if (watch) return strings.watching(machine);
    return strings.connected(machine, view?.takesKeys ? strings.hint : "");
  },
  freshTicket: () => embedder.ticket(embedder.there ? TICKET_WITHIN.framed : TICKET_WITHIN.alone),
});

/** Made when the kind of pane is known; it never changes. */
function makeView(info: PaneInfo): View {
  const label = strings.label(info.title, info.machine);
  const leave = (): void => {
    made.release();
    page.leave();
  };
  const copy = (text: string): void => void copyToClipboard(text);
  page.name(`${info.machine} · ${info.title}`);
  document.body.dataset["pane"] = info.type;
  watch = info.mode === "view";
  const made: View =
    info.type === "http" ? new SiteView(page.place, label, info.limits ?? "", remark)
    : info.type !== "vnc" ? new TextView(page.place, info.type, label, { leave, remark, copy })
    : watch ? new WatchView(page.place, label)
    : new ScreenView(page.place, label, { leave, remark, copy });
  const paste: Action = { label: strings.paste, title: strings.pasteTitle, run: () => void openPaste(made, label) };
  const choices = settings(made.settings, prefs, (chosen) => {
    prefs = chosen;
    remember(prefs);
    made.apply(prefs, watch);
  });
  const release: Action = { label: strings.release, title: strings.releaseTitle, run: leave };
  const keys = made.takesKeys;
  const forFiles: Action = { label: strings.files.button, title: strings.files.buttonTitle, run: () => files.open() };
  page.tools(keys ? [paste] : [], made.elements, choices, [...(keys && !watch ? [forFiles] : []), ...made.more, ...forWindow], keys ? [release] : []);
  made.apply(prefs, watch);
  return made;
}

/** Why nothing can be sent to the machine now; null where it can. */
function hindrance(): Reason | null {
  if (view === null || document.body.dataset["state"] !== "connected") return "not-connected";
  return watch || prefs.input === "off" ? "view-only" : null;
}

async function openPaste(to: View, label: string): Promise<void> {
  const reason = hindrance();
  if (reason === null) await dialog.open(to, label);
  else remark(strings.refusals[reason]);
}

/** Do what the embedding page asks, and tell it how that went. */
async function obey(order: Order): Promise<void> {
  const { id } = order;
  try {
    const reason = hindrance();
    if (view === null || reason !== null) throw new Refused(reason ?? "not-connected");
    if (order.type === "labkit:paste") await view.paste(order.text);
    else if (order.type === "labkit:type") await view.type(order.text);
    else if (order.type === "labkit:run") await view.type(`${order.text.replace(/[\r\n]+$/, "")}\n`);
    view.focus();
    embedder.tell({ type: "labkit:done", id });
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const { reason } = error;
    remark(strings.refusals[reason]);
    embedder.tell({ type: "labkit:refused", id, reason, text: strings.refusals[reason] });
  }
}

async function copyToClipboard(text: string): Promise<void> {
  if (text === "") return remark(strings.nothingSelected);
  try {
    await copyText(text, page.place);
    remark(strings.copied);
  } catch (error) {
    remark((error as Error).message);
  }
}

async function fullScreen(): Promise<void> {
  try {
    await document.documentElement.requestFullscreen();
    // Where the browser can (Chromium), the machine gets Alt+Tab and the like too.
    await (navigator as { keyboard?: { lock?(): Promise<void> } }).keyboard?.lock?.();
    view?.focus();
  } catch {
    remark(strings.noFullScreen);
  }
}

async function begin(): Promise<void> {
  embedder.tell({ type: "labkit:ready" });
  if (brought.code !== null) {
    page.say("connecting", strings.connecting);
    const answer = await redeem(brought.code);
    if ("error" in answer) return page.say("forbidden", answer.error);
    session.ticket = answer.value;
  }
  window.addEventListener("online", () => session.retry());
  await session.run();
}

void begin();
