// Text as key presses, for a machine's screen. Positions are those of a US keyboard, which is what QEMU and a
// guest that was told nothing else assume; what is not on it is sent by its name alone.

export interface Press {
  keysym: number;
  /** The key's position as in KeyboardEvent.code; null where the US keyboard has no such key. */
  code: string | null;
  shift: boolean;
}

const ROWS: readonly [codes: readonly string[], plain: string, shifted: string][] = [
  [
    ["Backquote", ..."1234567890".split("").map((digit) => `Digit${digit}`), "Minus", "Equal"],
    "`1234567890-=",
    "~!@#$%^&*()_+",
  ],
  [
    ["BracketLeft", "BracketRight", "Backslash", "Semicolon", "Quote", "Comma", "Period", "Slash", "Space"],
    "[]\\;',./ ",
    "{}|:\"<>?",
  ],
  [
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ".split("").map((letter) => `Key${letter}`),
    "abcdefghijklmnopqrstuvwxyz",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
  ],
];

const POSITIONS = new Map<string, { code: string; shift: boolean }>(
  ROWS.flatMap(([codes, plain, shifted]) =>
    codes.flatMap((code, index) => [
      [plain[index] ?? "", { code, shift: false }] as const,
      [shifted[index] ?? "", { code, shift: true }] as const,
    ]),
  ).filter(([character]) => character !== ""),
);

const CONTROL: Record<string, Press> = {
  "\n": { keysym: 0xff0d, code: "Enter", shift: false },
  "\t": { keysym: 0xff09, code: "Tab", shift: false },
  "\b": { keysym: 0xff08, code: "Backspace", shift: false },
  "\u001b": { keysym: 0xff1b, code: "Escape", shift: false },
};

/** The key presses that type `text`. Line ends of any kind are one Enter; other control characters are left out. */
export function presses(text: string): Press[] {
  return [...text.replace(/\r\n?/g, "\n")].flatMap((character) => {
    const point = character.codePointAt(0) ?? 0;
    const control = CONTROL[character];
    if (control) return [control];
    if (point < 0x20 || point === 0x7f) return [];
    const keysym = point < 0x100 ? point : 0x01000000 + point;
    const position = POSITIONS.get(character);
    return [{ keysym, code: position?.code ?? null, shift: position?.shift ?? false }];
  });
}
