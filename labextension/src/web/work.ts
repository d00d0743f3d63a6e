// A person's page of an activity: starts the lab where there is none, and shows the lab view with what a course adds.
import type { Request, Status, Transport } from "../view/contract.ts";
import { h, setText } from "../view/dom.ts";
import { httpTransport, mount } from "../view/index.ts";
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
    const { lab } = (await ask("state", {})) as { lab: { state: string } | null };
    if (lab === null || !STARTED.includes(lab.state)) await start();
    else show();
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
    show();
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

function show(): void {
  const lab = h("div", { class: "lab", attributes: { "data-labkit-fill": true } });
  setText(message, "");
  element.replaceChildren(message, lab);
  let look = (): void => {};
  const top = bar({
    ask, request,
    again: () => void start(),
    changed: (refusal) => {
      setText(message, refusal ?? "");
      look();
    },
  });
  // The view asks for the lab's status anyway: the answer has what the bar shows too.
  const overheard: Request = async (method, params) => {
    try {
      const answer = await request(method, params);
      if (method === "view" || method === "status") top.update(answer as unknown as Status & Around);
      return answer;
    } catch (error) {
      // The view says itself that nobody answers, but not what is refused.
      if (method === "status" && !(error instanceof ConnectionLost)) setText(message, (error as Error).message);
      throw error;
    }
  };
  const onEvent: Transport["onEvent"] = (changed) => {
    look = () => changed(null);
    return () => {};
  };
  const close = mount(lab, { ...transport, request: overheard, onEvent }, { beside: top.element, styles });
  unmount = () => {
    close();
    unmount = () => {};
  };
}

void open();
