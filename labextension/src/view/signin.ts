// User names, passwords and keys of a machine, behind a button, to be copied or downloaded.
import type { Credential } from "./contract.ts";
import { copyButton } from "./copy.ts";
import { freshId, h, setAttribute } from "./dom.ts";
import { strings } from "./strings.ts";

export interface SignIn {
  button: HTMLElement;
  panel: HTMLElement;
  /** Shows another machine's details. */
  select(machine: string): void;
}

export function signIn(credentials: Credential[], say: (sentence: string) => void): SignIn {
  const panel = h("section", { class: "sign-in", attributes: { id: freshId("sign-in"), hidden: true } });
  const button = h("button", {
    class: "ghost",
    attributes: { type: "button", "aria-expanded": "false", "aria-controls": panel.id },
    on: { click: () => toggle(panel.hidden) },
  }, strings.signIn);

  function toggle(open: boolean): void {
    panel.hidden = !open;
    setAttribute(button, "aria-expanded", String(open));
    if (!open) button.focus();
  }
  for (const part of [panel, button]) {
    part.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !panel.hidden) toggle(false);
    });
  }

  return {
    button,
    panel,
    select(machine) {
      const own = credentials.filter((credential) => credential.machine === machine);
      const close = h("button", { class: "ghost", attributes: { type: "button" }, on: { click: () => toggle(false) } }, strings.close);
      setAttribute(panel, "aria-label", strings.signInOf(machine));
      panel.replaceChildren(
        h("div", { class: "row" }, h("h4", {}, strings.signInOf(machine)), close),
        ...(own.length > 0 ? own.map((credential) => details(credential, say)) : [h("p", {}, strings.noSignIn(machine))]),
      );
    },
  };
}

function details({ machine, user, password, key }: Credential, say: (sentence: string) => void): HTMLElement {
  const row = (name: string, value: string): HTMLElement =>
    h("div", {}, h("dt", {}, name), h("dd", {}, h("code", {}, value), copyButton(name, () => value, say)));
  const file = h("a", {
    attributes: { download: `${machine}-${user}.key`, href: `data:application/octet-stream,${encodeURIComponent(key)}` },
  }, strings.download);
  return h(
    "dl", {}, row(strings.user, user),
    ...(password ? [row(strings.password, password)] : []),
    ...(key ? [h("div", {}, h("dt", {}, strings.key), h("dd", {}, file, copyButton(strings.key, () => key, say)))] : []),
  );
}
