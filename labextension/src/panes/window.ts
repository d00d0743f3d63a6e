// The pane in a window of its own. A code that is good for one ticket, once, travels in the new window's address: the
// address may stay in the browser's history, and is then worth nothing.

import { type Asked, askCode } from "./gateway.ts";
import { strings } from "./strings.ts";

/** Open it, or say with one sentence why not. `page` is the pane page's address. */
export async function openWindow(page: URL, ticket: string | null, remark: (text: string) => void): Promise<void> {
  const opened = window.open("about:blank", "_blank"); // within the click, else it counts as a pop-up
  if (opened === null) return remark(strings.popupBlocked);
  const answer: Asked = await askCode(page, ticket);
  if ("error" in answer) {
    opened.close();
    return remark(strings.windowRefused(answer.error));
  }
  opened.opener = null;
  opened.location.replace(`${page.origin}${page.pathname}#code=${answer.value}`);
}
