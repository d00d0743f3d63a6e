// Brings a page's HTML to life: actions, copy buttons on code, media through the transport, hints, quizzes, links.
import { type ActionHost, actionName, arm } from "./act.ts";
import type { Progress, Request, Transport } from "./contract.ts";
import { copyButton } from "./copy.ts";
import { h } from "./dom.ts";
import { hint } from "./hints.ts";
import { inertFragment } from "./html.ts";
import { quiz } from "./quiz.ts";
import { strings } from "./strings.ts";

export interface BlockHost extends ActionHost {
  media: Transport["media"];
  request: Request;
  /** A fresh progress, newer than any status that is still on its way. */
  progressed(progress: Progress): void;
  failed(error: Error): void;
}

/** A piece of a page, and what in it follows the learner's progress. */
export interface Content {
  fragment: DocumentFragment;
  update(progress: Progress): void;
}

export function blocks(html: string, host: BlockHost): Content {
  const fragment = inertFragment(html);
  for (const element of fragment.querySelectorAll<HTMLElement>(":is(img, video, track)[src^='media/']")) {
    resolve(element, host.media);
  }
  for (const pre of fragment.querySelectorAll("pre")) frameCode(pre, host);
  for (const code of fragment.querySelectorAll("code[data-copy=yes]")) {
    code.after(" ", copyButton(codeText(code), () => codeText(code), host.say));
  }
  for (const button of fragment.querySelectorAll<HTMLElement>("button.lk-action")) {
    arm(button, button, () => codeText(button), host);
  }
  for (const link of fragment.querySelectorAll<HTMLAnchorElement>("a[href^='#']")) armAnchor(link);
  for (const link of fragment.querySelectorAll<HTMLAnchorElement>("a[href^='media/']")) armDownload(link, host);
  const living = [
    ...[...fragment.querySelectorAll<HTMLDetailsElement>("details[data-hint]")].map((one) => hint(one, host, blocks)),
    ...[...fragment.querySelectorAll<HTMLElement>("div[data-quiz]")].map((one) => quiz(one, host)),
  ];
  return { fragment, update: (progress) => living.forEach((update) => update(progress)) };
}

function resolve(element: HTMLElement, media: Transport["media"]): void {
  const source = element.getAttribute("src") ?? "";
  element.removeAttribute("src"); // until it is resolved the alternative text stands
  media(source.slice("media/".length)).then(
    (url) => element.setAttribute("src", url),
    () => element.setAttribute("data-missing", ""),
  );
}

/** The file is asked for when it is wanted, and saved under its own name. */
function armDownload(link: HTMLAnchorElement, { media, say }: BlockHost): void {
  const path = (link.getAttribute("href") ?? "").slice("media/".length);
  link.removeAttribute("target");
  link.addEventListener("click", (event) => {
    event.preventDefault();
    media(path).then(
      (url) => h("a", { attributes: { href: url, download: path.split("/").at(-1) ?? "" } }).click(),
      (error: Error) => say(error.message),
    );
  });
}

const codeText = (element: Element): string => (element.textContent ?? "").replace(/\n+$/, "");

function frameCode(pre: HTMLElement, host: BlockHost): void {
  const name = strings.code(pre.dataset["lang"] ?? "");
  pre.setAttribute("role", "group");
  pre.setAttribute("aria-label", name);
  const acts = h("div", { class: "acts" });
  if (pre.dataset["copy"] !== "no") acts.append(copyButton(name, () => codeText(pre), host.say));
  const { action, target = "" } = pre.dataset;
  if (action !== undefined) {
    const button = h("button", { attributes: { type: "button" } }, actionName(action, target));
    arm(button, pre, () => codeText(pre), host);
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

/** In a shadow root the browser does not find the target of `#id` by itself. */
function armAnchor(link: HTMLAnchorElement): void {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    const id = decodeURIComponent(link.getAttribute("href")?.slice(1) ?? "");
    const found = (link.getRootNode() as ShadowRoot).getElementById(id);
    found?.scrollIntoView({ block: "nearest" });
    (found instanceof HTMLAnchorElement ? found : found?.querySelector("a"))?.focus({ preventScroll: true });
  });
}
