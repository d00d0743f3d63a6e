// The grip between instructions and machines: dragged, or moved by arrow keys.
import { h, setAttribute } from "./dom.ts";
import { recall, remember } from "./memory.ts";
import { strings } from "./strings.ts";

const [LEAST, MOST, STEP, KEY] = [25, 70, 2, "split"];

/** @param main gets the share of the instructions as the custom property `--split`, in percent of its width */
export function splitter(main: HTMLElement, controlled: HTMLElement): HTMLElement {
  const grip = h("div", {
    class: "grip",
    attributes: {
      role: "separator", tabindex: 0, "aria-orientation": "vertical", "aria-label": strings.resize,
      "aria-controls": controlled.id, "aria-valuemin": LEAST, "aria-valuemax": MOST,
    },
  });
  let share = 42;

  function move(to: number): void {
    share = Math.min(MOST, Math.max(LEAST, Math.round(to)));
    main.style.setProperty("--split", `${share}%`);
    setAttribute(grip, "aria-valuenow", share);
    remember(KEY, String(share));
  }

  grip.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: share - STEP, ArrowRight: share + STEP, Home: LEAST, End: MOST }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    move(to);
  });
  grip.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    grip.setPointerCapture(event.pointerId);
    main.classList.add("dragging"); // frames would swallow the pointer
  });
  grip.addEventListener("pointermove", (event) => {
    if (!grip.hasPointerCapture(event.pointerId)) return;
    const { left, width } = main.getBoundingClientRect();
    move((100 * (event.clientX - left)) / width);
  });
  grip.addEventListener("lostpointercapture", () => main.classList.remove("dragging"));

  move(Number(recall(KEY)) || share);
  return grip;
}
