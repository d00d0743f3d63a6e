// Hints and solutions: that one was opened is kept by the server, which hands out what costs points only then.
import type { BlockHost, Content } from "./blocks.ts";
import { confirmed } from "./confirm.ts";
import type { Progress } from "./contract.ts";
import { h } from "./dom.ts";
import { strings } from "./strings.ts";

/** @param content makes what is inside, which may hold hints again */
export function hint(
  details: HTMLDetailsElement, host: BlockHost, content: (html: string, host: BlockHost) => Content,
): (progress: Progress) => void {
  const { hint: key = "", cost } = details.dataset;
  const summary = details.querySelector("summary");
  const price = h("span", { class: "cost" }, cost === undefined ? "" : strings.costs(Number(cost)));
  summary?.append(" ", price);
  let inside: Content | undefined;
  let known = false;

  async function open(): Promise<void> {
    try {
      host.progressed((await host.request("open_hint", { hint: key })).progress);
    } catch (error) {
      host.say((error as Error).message);
      host.failed(error as Error);
    }
  }
  if (cost === undefined) {
    details.addEventListener("toggle", () => void (details.open && !known && open()));
  } else {
    summary?.addEventListener("click", (event) => {
      if (known) return;
      event.preventDefault(); // there is nothing inside yet
      void confirmed(summary, strings.buyHint(Number(cost))).then(async (yes) => {
        if (yes) await open();
        if (known) details.open = true;
      });
    });
  }
  return (progress) => {
    const html = progress.hints[key];
    if (html !== undefined && !known) {
      known = true;
      price.textContent = cost === undefined ? "" : strings.paid(Number(cost));
      if (cost !== undefined) {
        inside = content(html, host);
        details.append(inside.fragment);
      }
    }
    inside?.update(progress);
  };
}
