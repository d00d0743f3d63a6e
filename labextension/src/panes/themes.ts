// Colours of the text panes; the sixteen colours of programs are xterm.js's own, moved until they can be read.

import type { ITerminalOptions } from "@xterm/xterm";
import type { Prefs } from "./prefs.ts";

type Look = Pick<ITerminalOptions, "theme" | "minimumContrastRatio">;

export const LOOKS: Record<Prefs["theme"], Look> = {
  dark: {
    theme: { background: "#10151c", foreground: "#d9e2ec", cursor: "#d9e2ec", selectionBackground: "#2f4d6e" },
    minimumContrastRatio: 4.5,
  },
  light: {
    theme: { background: "#ffffff", foreground: "#1d2530", cursor: "#1d2530", selectionBackground: "#bcd7f2" },
    minimumContrastRatio: 4.5,
  },
  contrast: {
    theme: { background: "#000000", foreground: "#ffffff", cursor: "#ffff00", selectionBackground: "#0050a0" },
    minimumContrastRatio: 7,
  },
};

/** What is found: a colour that is read on all three. */
export const FOUND = {
  matchBackground: "#7a5c00",
  matchOverviewRuler: "#b7791f",
  activeMatchBackground: "#2b6cb0",
  activeMatchColorOverviewRuler: "#2b6cb0",
};
