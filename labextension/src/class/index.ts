// The pages for teachers: the class (cards that keep themselves up to date), the picker of labs, and two small pages
// that only have to send or close themselves. Everything works on elements that the server has made.
import { confirmed } from "../view/confirm.ts";
import { followTheme } from "../view/theme.ts";
import "./class.css";

const REFRESH_MS = 10_000;
/** Whom a button is for that is for all. What waits for room has no end yet. */
const NEEDS: Record<string, string> = {
  start: "section[data-learn=yes]:not([data-live=yes])",
  extend: "section[data-ends=yes]",
  stop: "section[data-live=yes]",
  check: "section[data-live=yes]",
  send: "section[data-grade=yes]",
};
const pictures = new Map<string, { address: string; ticket: string; expires: number }>();
const blank = new Set<string>(); // who has no screen to show

function find<T extends HTMLElement>(selector: string): T | null {
  return document.querySelector<T>(selector);
}

/** Hide what does not hold the searched words, or is not of the kind that is to be shown. */
function sift(): void {
  const words = find<HTMLInputElement>("#find")?.value.trim().toLowerCase() ?? "";
  const kind = find<HTMLSelectElement>("#show")?.value ?? "";
  for (const card of document.querySelectorAll<HTMLElement>("[data-text]")) {
    const named = (card.dataset["text"] ?? "").includes(words);
    card.hidden = !named || (kind !== "" && !(card.dataset["is"] ?? "").split(" ").includes(kind));
  }
}

function say(text: string): void {
  const place = find("#said");
  if (place) place.textContent = text;
}

class Room {
  readonly #page: HTMLElement;
  #shown = new Map<string, string>();

  constructor(page: HTMLElement) {
    this.#page = page;
    this.#remember(page);
    page.addEventListener("click", (event) => void this.#clicked(event.target as HTMLElement));
    setInterval(() => void this.#refresh(), REFRESH_MS);
    void this.#screens();
  }

  async #clicked(target: HTMLElement): Promise<void> {
    const { all, deed } = target.dataset;
    if (deed) await this.#do(deed, [target.closest("section")?.dataset["subject"] ?? ""]);
    if (!all) return;
    const needs = NEEDS[all] ?? "";
    const subjects = [...this.#page.querySelectorAll<HTMLElement>(needs)].map((card) => card.dataset["subject"] ?? "");
    const labs = `${subjects.length} ${subjects.length === 1 ? "lab" : "labs"}`;
    const question = {
      stop: `Stop ${labs}? What is on their machines is lost.`,
      check: `Check this step again in ${labs}? What the check says of their machines as they are now counts, more or less.`,
    }[all];
    if (subjects.length === 0) say(`Nothing to ${all}.`);
    else if (!question || (await confirmed(this.#page, question))) await this.#do(all, subjects);
  }

  /** One batch after the other, so that no request is long and others get their turn. */
  async #do(deed: string, subjects: string[]): Promise<void> {
    const size = Number(this.#page.dataset["batch"]);
    const faults: string[] = [];
    for (let first = 0; first < subjects.length; first += size) {
      say(`${deed}: ${first} of ${subjects.length}`);
      const body = new URLSearchParams(subjects.slice(first, first + size).map((subject) => ["subject", subject]));
      if (deed === "check") body.set("step", find<HTMLSelectElement>("#step")?.value ?? "");
      const answer = await fetch(`labs/${deed}`, { method: "POST", body, headers: { "X-Labkit": "class" } }).catch(() => null);
      const told = ((await answer?.json().catch(() => null)) ?? {}) as { error?: string; faults?: string[] };
      if (answer?.ok) faults.push(...(told.faults ?? []));
      else {
        faults.push(`${deed}: ${first} of ${subjects.length}, then: ${told.error ?? "no answer from labkit; try again"}`);
        break;
      }
    }
    say(faults.length > 0 ? faults.join(" · ") : `${deed}: ${subjects.length} of ${subjects.length}`);
    await this.#refresh();
  }

  #remember(root: ParentNode): void {
    this.#shown = new Map([...root.querySelectorAll("section")].map((card) => [card.dataset["subject"] ?? "", card.outerHTML]));
  }

  /** Take in what has changed, card by card: what stays keeps its picture and the keyboard's focus. */
  async #refresh(): Promise<void> {
    const answer = await fetch("cards").catch(() => null);
    if (!answer?.ok) {
      say(answer?.status === 403 ? "Your visit is over: open the activity again in your course." : "No answer from labkit at the moment.");
      return;
    }
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").body;
    const before = this.#shown;
    const old = new Map([...this.#page.querySelectorAll("section")].map((card) => [card.dataset["subject"] ?? "", card]));
    this.#remember(fresh);
    const focused = document.activeElement;
    const place = find("#cards")!;
    for (const card of fresh.querySelectorAll("section")) {
      const key = card.dataset["subject"] ?? "";
      const kept = old.get(key);
      if (!kept) continue;
      const picture = kept.querySelector("img");
      if (before.get(key) === this.#shown.get(key)) card.replaceWith(kept);
      else if (picture && card.querySelector("[data-screen]")) card.querySelector(".shot")?.replaceChildren(picture);
    }
    place.replaceChildren(...fresh.childNodes);
    if (focused instanceof HTMLElement && focused.isConnected) focused.focus();
    sift();
    await this.#screens();
  }

  /** Pictures of the screens that can be seen, one after the other: never a connection to a machine's screen. */
  async #screens(): Promise<void> {
    for (const place of this.#page.querySelectorAll<HTMLElement>("[data-screen]")) {
      const box = place.getBoundingClientRect();
      if (document.hidden || blank.has(place.dataset["screen"] ?? "") || place.offsetParent === null || box.bottom < 0 || box.top > innerHeight) continue;
      const picture = await this.#picture(place.dataset["screen"] ?? "").catch(() => null);
      if (!picture || !place.isConnected) continue;
      const image = place.querySelector("img") ?? document.createElement("img");
      image.alt = "The learner's screen";
      if (image.src) URL.revokeObjectURL(image.src);
      image.src = URL.createObjectURL(picture);
      place.replaceChildren(image);
    }
  }

  async #picture(learner: string): Promise<Blob | null> {
    let way = pictures.get(learner);
    if (!way || way.expires * 1000 < Date.now() + 30_000) {
      const answer = await fetch(`screen/${learner}`, { headers: { "X-Labkit": "class" } });
      if (answer.status === 404) blank.add(learner);
      if (!answer.ok) return null;
      way = (await answer.json()) as { address: string; ticket: string; expires: number };
      pictures.set(learner, way);
    }
    const answer = await fetch(way.address, { headers: { "Labkit-Ticket": way.ticket }, cache: "no-store" });
    if (answer.ok) return await answer.blob();
    pictures.delete(learner);
    return null;
  }
}

function addForm(form: HTMLFormElement): void {
  const zone = form.elements.namedItem("zone") as HTMLInputElement;
  zone.value = String(new Date().getTimezoneOffset());
  const said = find("#zone");
  if (said) said.textContent = `in your own time zone, ${Intl.DateTimeFormat().resolvedOptions().timeZone}`;
}

/** Tell the platform that the window may go (LTI Dynamic Registration 1.0). */
function close(origin: string): void {
  (window.opener ?? window.parent).postMessage({ subject: "org.imsglobal.lti.close" }, origin);
}

for (const name of ["#find", "#show"]) find(name)?.addEventListener("input", sift);
const themed = find(".site");
if (themed) followTheme(themed);
const page = find("#class");
if (page) new Room(page);
const form = find<HTMLFormElement>("#add");
if (form) addForm(form);
find<HTMLFormElement>("#back")?.submit();
const registered = find("#registered");
if (registered) {
  const origin = registered.dataset["origin"] ?? "";
  find("#close")?.addEventListener("click", () => close(origin));
  close(origin);
}
