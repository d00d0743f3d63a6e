// What a person chose for their panes, remembered by this browser where it lets us. Never anything secret.

export const CHOICES = {
  fit: ["scale", "follow", "full"],
  quality: ["slow", "normal", "best"],
  layout: ["us", "gb", "de", "fr"],
  keys: ["positions", "characters"],
  pace: ["normal", "careful"],
  input: ["on", "off"],
  size: ["12", "14", "16", "18", "22", "28"],
  theme: ["dark", "light", "contrast"],
  reader: ["off", "on"],
} as const;

export type Name = keyof typeof CHOICES;
export type Prefs = { [N in Name]: (typeof CHOICES)[N][number] };

const DEFAULTS: Prefs = {
  fit: "scale", quality: "normal", layout: "us", keys: "positions", pace: "normal", input: "on",
  size: "14", theme: "dark", reader: "off",
};
const KEY = "labkit:panes";
/** Chosen for the moment: a pane that only looks would surprise the next day. */
const FORGOTTEN: readonly Name[] = ["input"];

/** The choices in `stored` (JSON, from wherever) that exist, the defaults for all others. */
export function read(stored: string | null, defaults: Prefs = DEFAULTS): Prefs {
  let known: unknown = null;
  try {
    known = JSON.parse(stored ?? "null");
  } catch {
    // not ours: then nothing was chosen
  }
  const chosen = Object.entries(typeof known === "object" && known !== null ? known : {}).filter(
    ([name, value]) => name in CHOICES && (CHOICES[name as Name] as readonly unknown[]).includes(value),
  );
  return { ...defaults, ...Object.fromEntries(chosen) };
}

export function recall(): Prefs {
  const contrast = window.matchMedia("(prefers-contrast: more)").matches;
  const defaults: Prefs = { ...DEFAULTS, theme: contrast ? "contrast" : DEFAULTS.theme };
  try {
    return read(localStorage.getItem(KEY), defaults);
  } catch {
    return defaults; // storage is forbidden, as in a frame of another site's page
  }
}

export function remember(prefs: Prefs): void {
  const kept = Object.entries(prefs).filter(([name]) => !FORGOTTEN.includes(name as Name));
  try {
    localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(kept)));
  } catch {
    // as above
  }
}
