// Which key of a keyboard types which character. The machine decides: QEMU is sent positions (KeyboardEvent.code), and
// the system in the machine reads them by its own layout. Here are the layouts it may have, as on Linux.

/** The keys of a keyboard row by row, from the upper left; the one that US keyboards lack comes last. */
const CODES = [
  "Backquote", ..."1234567890".split("").map((digit) => `Digit${digit}`), "Minus", "Equal",
  ..."QWERTYUIOP".split("").map((letter) => `Key${letter}`), "BracketLeft", "BracketRight",
  ..."ASDFGHJKL".split("").map((letter) => `Key${letter}`), "Semicolon", "Quote", "Backslash",
  ..."ZXCVBNM".split("").map((letter) => `Key${letter}`), "Comma", "Period", "Slash", "IntlBackslash",
];

/** What the keys type alone and with Shift. A combining accent is a dead key; a space is nothing of use. */
interface Layout {
  plain: string;
  shift: string;
  /** With AltGr: pairs of the character and what the key types alone. */
  altgr: string;
}

const LAYOUTS = {
  us: {
    plain: "`1234567890-=" + "qwertyuiop[]" + "asdfghjkl;'\\" + "zxcvbnm,./",
    shift: "~!@#$%^&*()_+" + "QWERTYUIOP{}" + 'ASDFGHJKL:"|' + "ZXCVBNM<>?",
    altgr: "",
  },
  gb: {
    plain: "`1234567890-=" + "qwertyuiop[]" + "asdfghjkl;'#" + "zxcvbnm,./\\",
    shift: '¬!"£$%^&*()_+' + "QWERTYUIOP{}" + "ASDFGHJKL:@~" + "ZXCVBNM<>?|",
    altgr: "€4",
  },
  de: {
    plain: "\u03021234567890ß\u0301" + "qwertzuiopü+" + "asdfghjklöä#" + "yxcvbnm,.-<",
    shift: '°!"§$%&/()=?\u0300' + "QWERTZUIOPÜ*" + "ASDFGHJKLÖÄ'" + "YXCVBNM;:_>",
    altgr: "²2³3{7[8]9}0\\ß@q€e~+µm|<",
  },
  fr: {
    plain: "²&é\"'(-è_çà)=" + "azertyuiop\u0302$" + "qsdfghjklmù*" + "wxcvbn,;:!<",
    shift: " 1234567890°+" + "AZERTYUIOP\u0308£" + "QSDFGHJKLM%µ" + "WXCVBN?./§>",
    altgr: "~é#\"{'[(|-`è\\_^ç@à])}=€e",
  },
} satisfies Record<string, Layout>;

export type LayoutName = keyof typeof LAYOUTS;

/** Where a character is: the key's position, and what is held down with it. */
export interface Place {
  code: string;
  shift: boolean;
  altgr: boolean;
}

function places({ plain, shift, altgr }: Layout): Map<string, Place> {
  const found = new Map<string, Place>([[" ", { code: "Space", shift: false, altgr: false }]]);
  const add = (character: string | undefined, place: Place): void => {
    if (character !== undefined && !found.has(character)) found.set(character, place);
  };
  const [alone, shifted, pairs] = [[...plain], [...shift], [...altgr]];
  CODES.forEach((code, index) => {
    add(alone[index], { code, shift: false, altgr: false });
    add(shifted[index], { code, shift: true, altgr: false });
  });
  for (let index = 0; index < pairs.length; index += 2) {
    const code = CODES[alone.indexOf(pairs[index + 1] ?? "")] ?? "";
    add(pairs[index], { code, shift: false, altgr: true });
  }
  return found;
}

const PLACES = Object.fromEntries(Object.entries(LAYOUTS).map(([name, layout]) => [name, places(layout)])) as Record<
  LayoutName,
  Map<string, Place>
>;

/** Accents that a dead key and then a space type alone. */
const ALONE: Record<string, string> = { "^": "\u0302", "`": "\u0300" };

/** The keys that type a character, one after another, each with what it stands for; null where none do. */
export function keysFor(character: string, layout: LayoutName): [character: string, place: Place][] | null {
  const known = PLACES[layout];
  const direct = known.get(character);
  if (direct) return [[character, direct]];
  const accent = ALONE[character];
  const [base = "", mark = "", ...more] = accent ? [" ", accent] : character.normalize("NFD");
  const [dead, letter] = [known.get(mark), known.get(base)];
  return dead && letter && more.length === 0 ? [[mark, dead], [base, letter]] : null;
}
