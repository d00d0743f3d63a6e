// What can be done with the pane in front, besides using it: a window of its own, the whole screen.
import { h } from "./dom.ts";
import { type FrameHost, windowAddress } from "./frame.ts";
import { strings } from "./strings.ts";

export interface ToolsHost extends Pick<FrameHost, "request" | "paneUrl" | "failed"> {
  say(sentence: string): void;
}

export function toolButton(label: string, click: () => void): HTMLElement {
  return h("button", { class: "ghost", attributes: { type: "button" }, on: { click } }, label);
}

/** The same pane in another window, with a one-time code for a ticket of its own. */
export async function openWindow(machine: string, pane: string, host: ToolsHost): Promise<void> {
  const opened = window.open("about:blank", "_blank"); // within the click, else it counts as a pop-up
  try {
    if (opened === null) throw new Error(strings.popupBlocked);
    const address = await windowAddress(machine, pane, host);
    opened.opener = null;
    opened.location.replace(address);
  } catch (error) {
    opened?.close();
    host.say((error as Error).message);
    host.failed(error as Error);
  }
}

export async function fullScreen(stage: HTMLElement, host: ToolsHost): Promise<void> {
  try {
    await stage.requestFullscreen();
  } catch {
    host.say(strings.noFullScreen);
  }
}
