// Every word of the pane pages, in one table: another language is another object of this shape.

import type { PaneType } from "./contract.ts";

/** The chord that takes the keyboard from the machine: see keyboard.ts for why this one. */
export const LEAVE = "Ctrl+Shift+Enter";

const names: Record<PaneType, string> = { vnc: "screen", console: "console", terminal: "terminal", exec: "shell", http: "page" };

export const strings = {
  tools: "Pane tools",
  names,
  label: (title: string, machine: string): string => `${title} of ${machine}`,
  leaveWith: `It takes every key; leave with ${LEAVE.replaceAll("+", " ")}.`,
  hint: `${LEAVE} releases the keyboard.`,
  released: "The keyboard is released.",

  connecting: "Connecting…",
  connected: (machine: string, hint: string): string => `Connected to ${machine}. ${hint}`.trim(),
  watching: (machine: string): string => `Watching ${machine}: what you type goes nowhere.`,
  silent: "Connected. The console is silent so far: Enter may wake it.",
  connectedPaused: (machine: string): string => `Connected; ${machine} is paused.`,
  starting: (machine: string): string => `${machine} is starting…`,
  paused: (machine: string): string => `${machine} is paused. It goes on from the lab's page.`,
  stopped: (machine: string): string => `${machine} is stopped.`,
  failed: (machine: string): string => `${machine} has failed.`,
  takenOver: (name: string): string => `This ${name} was opened somewhere else. “Reconnect” takes it back.`,
  notYet: (name: string, machine: string): string => `The ${name} of ${machine} does not answer yet; trying again.`,
  unwatched: "Nobody has this pane open: there is nothing to watch yet.",
  cut: "The connection was cut; looking why…",
  away: "The network or the server is away.",
  again: (why: string): string => `${why} Trying again.`,
  answered: (status: number): string => `The server answered ${status}.`,

  reconnect: "Reconnect",
  reconnectTitle: "Close the connection and open it again",
  release: "Release keyboard",
  releaseTitle: `Give the keyboard back to this page (${LEAVE})`,
  more: "More",
  moreTitle: "Settings and further tools of this pane",
  fullScreen: "Full screen",
  fullScreenTitle: "Show this pane alone; Escape, held down, leaves it",
  noFullScreen: "The browser does not allow full screen here.",
  newWindow: "New window",
  newWindowTitle: "Open this pane in a window of its own",
  popupBlocked: "The browser did not allow a new window.",
  windowRefused: (why: string): string => `No new window: ${why}`,
  copied: "Copied.",
  nothingSelected: "There is nothing to copy: select something first.",

  paste: "Paste…",
  pasteTitle: "Send text to the machine (Ctrl+Shift+V)",
  pasteInto: (label: string): string => `Send text to the ${label}`,
  pasteText: "Text",
  pasteCancel: "Cancel",
  pasteSend: "Type it",
  pasteClipboard: "Put on its clipboard",
  preview: (keys: number, seconds: number): string =>
    keys === 0 ? "Nothing to type yet." : `${keys} key ${keys === 1 ? "press" : "presses"}, about ${Math.ceil(seconds)} s.`,
  previewText: (characters: number, lines: number): string =>
    `${characters} characters, ${lines} ${lines === 1 ? "line" : "lines"}.`,
  untypable: (characters: readonly string[], layout: string): string =>
    `Left out, since a ${layout} keyboard has no key for it: ${characters.join(" ")}`,
  typed: (done: number, all: number): string => `Typed ${done} of ${all}`,
  lines: "Line ends are typed as Enter.",

  refusals: {
    "not-connected": "Nothing was typed: the machine is not connected.",
    "view-only": "Nothing was typed: this pane is for watching only.",
    "no-keys": "Nothing was typed: this pane is a page to look at.",
    untypable: "Nothing was typed: the machine's keyboard lacks some of these characters.",
    cut: "Not all was typed: the connection was cut.",
    cancelled: "Typing was stopped.",
  },

  keys: "Keys",
  keysTitle: "Send keys that the browser or the system keeps for itself",
  screenshot: "Save picture",
  screenshotTitle: "Save the machine's screen as a PNG file",
  machineClipboard: "Copy its clipboard",
  machineClipboardTitle: "Copy what the machine last put on its clipboard",
  noClipboard: "The machine has put nothing on a clipboard that it shares.",
  clipboardChanged: "The machine put text on its clipboard: More, “Copy its clipboard”.",

  find: "Find",
  findTitle: "Search what was printed (Ctrl+Shift+F)",
  findText: "Search text",
  findNext: "Next",
  findPrevious: "Previous",
  close: "Close",
  found: (index: number, count: number): string => (count === 0 ? "not found" : `${index + 1} of ${count}`),

  files: {
    button: "Files",
    buttonTitle: "Copy files to and from the machine",
    title: "Files of the machine",
    upload: "Upload…",
    progress: "Transfer",
    size: (bytes: number): string => (bytes < 2048 ? `${bytes} bytes` : `${Math.round(bytes / 1024).toLocaleString("en")} KiB`),
    moved: (done: number, all: number): string => `${Math.round(done / 1024)} of ${Math.round(all / 1024)} KiB`,
    saved: (name: string): string => `${name} is there.`,
    brokenOff: (name: string): string => `${name} was broken off.`,
    incomplete: (path: string, count: number): string => `${path}: only the first ${count} are shown.`,
  },

  settings: {
    fit: { label: "Picture", choices: { scale: "Scaled to fit", follow: "Machine follows the window", full: "Full size" } },
    quality: { label: "Connection", choices: { slow: "Slow: fewer bytes", normal: "Normal", best: "Best: least work" } },
    layout: { label: "Machine's keyboard", choices: { us: "US", gb: "British", de: "German", fr: "French" } },
    keys: { label: "My keys send", choices: { positions: "Their positions", characters: "Their characters" } },
    pace: { label: "Typing of text", choices: { normal: "Normal", careful: "Careful: slow machines" } },
    input: { label: "Keyboard and mouse", choices: { on: "Go to the machine", off: "Off: only look" } },
    size: { label: "Text size", choices: { "12": "12", "14": "14", "16": "16", "18": "18", "22": "22", "28": "28" } },
    theme: { label: "Colours", choices: { dark: "Dark", light: "Light", contrast: "High contrast" } },
    reader: { label: "Screen reader", choices: { off: "Off", on: "On: lines are read out" } },
  },
};
