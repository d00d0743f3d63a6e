// A person's page of an activity: starts the lab where there is none, and shows the lab view with what a course adds.
import type { Request } from "../view/contract.ts";
import { h, setText } from "../view/dom.ts";
import { httpTransport, mount } from "../view/index.ts";
import { poll } from "../view/poll.ts";
import { strings } from "../view/strings.ts";
import { ConnectionLost } from "../view/transport.ts";
import { type Around, bar } from "./bar.ts";
import styles from "./bar.css" with { type: "text" };
import { followStart } from "./starting.ts";
import { words } from "./words.ts";

const element = document.getElementById("work") as HTMLElement;
const transport = httpTransport("view", "/");
// The page's own questions go the same way as the view's.
const ask = httpTransport("./").request as unknown as (method: string, params: object) => Promise<unknown>;
const request: Request = transport.request;
const message = h("p", { class: "message", attributes: { role: "alert" } });
let unmount = (): void => {};

/** Nothing but a lab that runs, is paused, or has ended can be shown without a start. */
const STARTED = ["running", "paused", "stopping", "stopped", "lost"];

async function open(): Promise<void> {
  try {
    const around = (await ask("state", {})) as Around;
    if (around.lab === null || !STARTED.includes(around.lab.state)) await start();
    else show(around);
  } catch (error) {
    refused(error as Error, open);
  }
}

async function start(): Promise<void> {
  unmount();
  const place = h("div", { class: "starting" });
  element.replaceChildren(message, place);
  setText(message, "");
  try {
    const { operation } = (await ask("start", {})) as { operation: string };
    await followStart(place, words(strings.language).starting(document.title), operation, request);
    show((await ask("state", {})) as Around);
  } catch (error) {
    refused(error as Error, start, place);
  }
}

/** A sentence, and a way to try again; what was drawn before it (a start that failed) stays. */
function refused(error: Error, again: () => Promise<void>, drawn?: HTMLElement): void {
  const button = h("button", { class: "button", attributes: { type: "button" }, on: { click: () => void again() } },
    words(strings.language).tryAgain);
  setText(message, error.message);
  element.replaceChildren(...(drawn?.hasChildNodes() ? [drawn] : []), message, button);
}

function show(around: Around): void {
  const lab = h("div", { class: "lab", attributes: { "data-labkit-fill": true } });
  setText(message, "");
  element.replaceChildren(message, lab);
  const top = bar({
    ask, request,
    again: () => void start(),
    changed: (refusal) => {
      setText(message, refusal ?? "");
      polling.now();
    },
  });
  const close = mount(lab, transport, { beside: top.element, styles });
  const polling = poll(lab, async () => {
    try {
      top.update((await ask("state", {})) as Around);
      return true;
    } catch (error) {
      if (!(error instanceof ConnectionLost)) setText(message, (error as Error).message); // the view says the other
      return false;
    }
  });
  top.update(around);
  unmount = () => {
    polling.close();
    close();
    unmount = () => {};
  };
}

void open();
