// What is known of the running labs, looked at again and again while somebody can see the page.
import { type ISignal, Signal } from "@lumino/signaling";
import { labs, type RunningLab } from "./api.ts";

export class Labs {
  /** Newest first. */
  found: RunningLab[] = [];
  /** One sentence where they cannot be known. */
  fault = "";
  seconds = 5;
  private readonly told = new Signal<this, void>(this);
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    document.addEventListener("visibilitychange", () => void this.look());
    void this.look();
  }

  get changed(): ISignal<this, void> {
    return this.told;
  }

  async look(): Promise<void> {
    clearTimeout(this.timer);
    if (document.visibilityState !== "visible") return;
    try {
      [this.found, this.fault] = [await labs(), ""];
    } catch (error) {
      this.fault = (error as Error).message;
    }
    this.told.emit();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.look(), this.seconds * 1000);
  }
}
