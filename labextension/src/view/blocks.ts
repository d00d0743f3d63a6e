// Brings a page's HTML to life: actions, copy buttons on code, images through the transport, links inside the page.
import type { Transport } from "./contract.ts";
import { copyButton } from "./copy.ts";
import { h } from "./dom.ts";
import { inertFragment } from "./html.ts";
import { strings } from "./strings.ts";

/** What an action may do to its target, `machine` or `machine:pane`. Where it cannot, an Error with one sentence. */
export interface Actions {
  /** `run`: press Enter after it. */
  type(target: string, text: string, run: boolean): Promise<void>;
  open(target: string): void;
}

export interface BlockHost {
  media: Transport["media"];
  actions: Actions;
  /** Says one sentence to the learner, also to a screen reader. */
  say(sentence: string): void;
}

export function blocks(html: string, host: BlockHost): DocumentFragment {
  const fragment = inertFragment(html);
  for (const image of fragment.querySelectorAll("img")) resolveImage(image, host.media);
  for (const pre of fragment.querySelectorAll("pre")) frameCode(pre, host);
  for (const code of fragment.querySelectorAll("code[data-copy=yes]")) {
    code.after(" ", copyButton(codeText(code), () => codeText(code), host.say));
  }
  for (const button of fragment.querySelectorAll<HTMLElement>("button.lk-action")) arm(button, button, host);
  for (const link of fragment.querySelectorAll<HTMLAnchorElement>("a[href^='#']")) armAnchor(link);
  return fragment;
}

function resolveImage(image: HTMLImageElement, media: Transport["media"]): void {
  const source = image.getAttribute("src") ?? "";
  if (!source.startsWith("media/")) return;
  image.removeAttribute("src"); // until it is resolved the alternative text stands
  media(source.slice("media/".length)).then(
    (url) => (image.src = url),
    () => image.setAttribute("data-missing", ""),
  );
}

const codeText = (element: Element): string => (element.textContent ?? "").replace(/\n+$/, "");

function frameCode(pre: HTMLElement, host: BlockHost): void {
  const name = strings.code(pre.dataset["lang"] ?? "");
  pre.setAttribute("role", "group");
  pre.setAttribute("aria-label", name);
  const acts = h("div", { class: "acts" });
  if (pre.dataset["copy"] !== "no") acts.append(copyButton(name, () => codeText(pre), host.say));
  const { action, target = "" } = pre.dataset;
  if (action === "run" || action === "type") {
    const label = action === "run" ? strings.runIn(target) : strings.typeInto(target);
    const button = h("button", { attributes: { type: "button" } }, label);
    arm(button, pre, host);
    acts.append(button);
  }
  const box = h("div", { class: "code" });
  pre.replaceWith(box);
  box.append(pre, acts);
  // A block that scrolls must be reachable by keyboard; one that does not should be no stop on the way.
  new ResizeObserver(() => {
    if (pre.scrollWidth > pre.clientWidth) pre.tabIndex = 0;
    else pre.removeAttribute("tabindex");
  }).observe(pre);
}

/** Makes `button` do what `source` (the button itself, or a block of code) names in its data attributes. */
function arm(button: HTMLElement, source: HTMLElement, { actions, say }: BlockHost): void {
  const { action, target = "" } = source.dataset;
  const act = async (): Promise<void> => {
    if (action === "open") return actions.open(target);
    await actions.type(target, codeText(source), action === "run");
    say(strings.typed(target));
  };
  if (button === source && action !== "open") {
    button.title = action === "run" ? strings.runIn(target) : strings.typeInto(target);
  }
  button.addEventListener("click", () => void act().catch((error: Error) => say(error.message)));
}

/** In a shadow root the browser does not find the target of `#id` by itself. */
function armAnchor(link: HTMLAnchorElement): void {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    const id = decodeURIComponent(link.getAttribute("href")?.slice(1) ?? "");
    const root = link.getRootNode() as ShadowRoot;
    root.getElementById(id)?.scrollIntoView({ block: "start" });
  });
}
