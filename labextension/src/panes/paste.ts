// The dialog in which text is looked at before it goes to the machine, and the progress while it is typed.

import { freshId, h, setText } from "../view/dom.ts";
import { strings } from "./strings.ts";
import { Refused, type View } from "./view.ts";

const button = (label: string, click: () => void): HTMLButtonElement =>
  h("button", { attributes: { type: "button" }, on: { click } }, label);

export class PasteDialog {
  private readonly field = h("textarea", { attributes: { rows: 8, id: freshId("text"), spellcheck: "false" } });
  private readonly told = h("p", { class: "told", attributes: { role: "status" } });
  private readonly progress = h("progress", { attributes: { max: 1, "aria-label": strings.pasteSend } });
  private readonly heading = h("h2", { attributes: { id: freshId("paste") } });
  private readonly send = button(strings.pasteSend, () => void this.typeAll());
  private readonly offer = button(strings.pasteClipboard, () => this.putOnClipboard());
  private readonly element: HTMLDialogElement;
  private view: View | null = null;
  private typing = false;

  constructor(private readonly remark: (text: string) => void) {
    this.send.classList.add("primary");
    const cancel = button(strings.pasteCancel, () => this.element.close());
    this.element = h("dialog", { attributes: { "aria-labelledby": this.heading.id } },
      this.heading, h("label", { attributes: { for: this.field.id } }, strings.pasteText), this.field, this.told,
      this.progress, h("div", { class: "row" }, cancel, this.offer, this.send));
    this.field.addEventListener("input", () => this.look());
    this.element.addEventListener("close", () => {
      if (this.typing) this.view?.stop();
      this.field.value = ""; // it may have been a password
    });
    document.body.append(this.element);
  }

  /** Show the dialog for a view, with what the clipboard holds where the browser lets us read it. */
  async open(view: View, label: string): Promise<void> {
    this.view = view;
    setText(this.heading, strings.pasteInto(label));
    this.offer.hidden = !view.sharesClipboard;
    this.element.showModal();
    this.busy(false);
    this.field.focus();
    try {
      const held = await navigator.clipboard.readText();
      if (this.field.value === "") this.field.value = held;
    } catch {
      // Not allowed here: the text is pasted into the field by hand.
    }
    this.look();
  }

  private look(): void {
    setText(this.told, this.view?.preview(this.field.value).join(" ") ?? "");
    this.send.disabled = this.field.value === "";
  }

  private busy(busy: boolean): void {
    this.typing = busy;
    this.progress.hidden = !busy;
    this.progress.value = 0;
    this.field.readOnly = this.send.disabled = this.offer.disabled = busy;
    this.look();
    this.send.disabled ||= busy;
  }

  private async typeAll(): Promise<void> {
    const { view } = this;
    if (view === null) return;
    this.busy(true);
    try {
      await view.paste(this.field.value, (done, all) => {
        this.progress.value = done / all;
        setText(this.told, strings.typed(done, all));
      });
      this.typing = false;
      this.element.close();
      view.focus();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.busy(false);
      setText(this.told, strings.refusals[error.reason]);
      this.remark(strings.refusals[error.reason]);
    }
  }

  private putOnClipboard(): void {
    this.view?.offer(this.field.value);
    this.element.close();
    this.view?.focus();
  }
}
