// The box around each of our views: a shadow root, so that neither the host's style sheet nor ours reaches the other.
import { h } from "./dom.ts";
import { followTheme } from "./theme.ts";
import tokens from "./tokens.css" with { type: "text" };

export interface Shell {
  root: HTMLElement;
  shadow: ShadowRoot;
  close(): void;
}

/** Puts a fresh box into `element`; `styles` are its style sheet, `name` is the class of its outermost element. */
export function openShell(element: HTMLElement, name: string, styles: string): Shell {
  const host = h("div", { class: "labkit" });
  // JupyterLab would take single keys pressed in here as notebook commands ("d" twice deletes the cell).
  host.setAttribute("data-lm-suppress-shortcuts", "true");
  if (element.hasAttribute("data-labkit-fill")) host.setAttribute("data-labkit-fill", "");
  const shadow = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet(); // not <style>: a strict Content-Security-Policy forbids that
  sheet.replaceSync(tokens + styles);
  shadow.adoptedStyleSheets = [sheet];
  const root = h("section", { class: name });
  shadow.append(root);
  const unfollow = followTheme(host);
  element.append(host);
  return {
    root,
    shadow,
    close() {
      unfollow();
      host.remove();
    },
  };
}
