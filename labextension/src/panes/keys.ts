// Text and named keys as key presses for a machine's screen.

import { type LayoutName, type Place, keysFor } from "./layouts.ts";

/** One key pressed and let go while others are held. `keysym` is for servers that take no positions. */
export interface Press extends Place {
  keysym: number;
}

export interface Key {
  keysym: number;
  code: string;
}

export const SHIFT: Key = { keysym: 0xffe1, code: "ShiftLeft" };
export const ALTGR: Key = { keysym: 0xfe03, code: "AltRight" };

const CONTROL: Record<string, Key> = {
  "\n": { keysym: 0xff0d, code: "Enter" },
  "\t": { keysym: 0xff09, code: "Tab" },
  "\b": { keysym: 0xff08, code: "Backspace" },
  "\u001b": { keysym: 0xff1b, code: "Escape" },
};
/** X11's names of dead keys. */
const DEAD: Record<string, number> = { "\u0300": 0xfe50, "\u0301": 0xfe51, "\u0302": 0xfe52, "\u0308": 0xfe57 };

const plain = (key: Key): Press => ({ ...key, shift: false, altgr: false });

function keysymOf(character: string): number {
  const point = character.codePointAt(0) ?? 0;
  return DEAD[character] ?? (point < 0x100 ? point : 0x01000000 + point);
}

/** What `text` is as key presses, and which of its characters have none on this keyboard (each once, in order). */
export interface Typing {
  presses: Press[];
  left: string[];
}

/** Line ends of any kind are one Enter; control characters that no key types are passed over in silence. */
export function presses(text: string, layout: LayoutName): Typing {
  const left = new Set<string>();
  const found = [...text.replace(/\r\n?/g, "\n").normalize("NFC")].flatMap((character): Press[] => {
    const control = CONTROL[character];
    if (control) return [plain(control)];
    if (character < " " || character === "\u007f") return [];
    const keys = keysFor(character, layout);
    if (keys === null) left.add(character);
    return (keys ?? []).map(([typed, place]) => ({ ...place, keysym: keysymOf(typed) }));
  });
  return { presses: found, left: [...left] };
}

const NAMED: Record<string, Key> = {
  Ctrl: { keysym: 0xffe3, code: "ControlLeft" },
  Alt: { keysym: 0xffe9, code: "AltLeft" },
  Super: { keysym: 0xffeb, code: "MetaLeft" },
  Del: { keysym: 0xffff, code: "Delete" },
  Esc: CONTROL["\u001b"] as Key,
  Tab: CONTROL["\t"] as Key,
  Enter: CONTROL["\n"] as Key,
  Backspace: CONTROL["\b"] as Key,
  Print: { keysym: 0xff61, code: "PrintScreen" },
  Menu: { keysym: 0xff67, code: "ContextMenu" },
  ...Object.fromEntries(Array.from({ length: 12 }, (_, index) => [
    `F${index + 1}`, { keysym: 0xffbe + index, code: `F${index + 1}` },
  ])),
};

const FUNCTION_KEYS = Array.from({ length: 12 }, (_, index) => `F${index + 1}`);

/** What the page offers to send, by name. */
export const CHORDS: readonly string[] = [
  "Ctrl+Alt+Del", "Ctrl+Alt+Backspace", "Alt+Tab", "Alt+F4", "Ctrl+Esc", "Super", "Menu", "Print", "Esc", "Tab",
  ...FUNCTION_KEYS,
  ...FUNCTION_KEYS.slice(0, 7).map((key) => `Ctrl+Alt+${key}`),
];

/** The keys of a chord such as "Ctrl+Alt+F2", in the order in which they go down. */
export function chord(name: string): Key[] {
  return name.split("+").map((part) => {
    const key = NAMED[part];
    if (key === undefined) throw new Error(`no key is called ${part}`);
    return key;
  });
}
