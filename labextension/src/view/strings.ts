// Every word of the lab view and the start's progress, in one table: another language is another object of this shape,
// and a row in `languages`. `strings` is the table that is spoken.
import type { ActionName } from "./act.ts";
import type { LabState, MachineState, PaneState } from "./contract.ts";
import { german } from "./german.ts";

const number = (value: number): string => value.toLocaleString("en", { maximumFractionDigits: 1 });

const labStates: Record<LabState, string> = {
  queued: "Waiting for room",
  starting: "Starting…",
  running: "Running",
  paused: "Paused",
  stopping: "Stopping…",
  stopped: "Stopped",
  failed: "Failed",
  lost: "Lost",
};

const machineStates: Record<MachineState, string> = {
  starting: "starting",
  running: "running",
  paused: "paused",
  stopped: "stopped",
  failed: "failed",
};

const paneStates: Record<PaneState, string> = {
  connecting: "Connecting…",
  connected: "Connected",
  starting: "Waiting for the machine",
  stopped: "The machine is stopped",
  paused: "The machine is paused",
  "taken-over": "Open in another window",
  lost: "Connection lost",
  forbidden: "Not allowed",
};

const actions: Record<ActionName, (target: string) => string> = {
  run: (machine) => `Run in ${machine}`,
  type: (machine) => `Type into ${machine}`,
  paste: (machine) => `Paste into ${machine}`,
  open: (target) => `Open ${target}`,
  focus: (target) => `Go to ${target}`,
  upload: (machine) => `Put a file into ${machine}`,
};

const acted: Record<ActionName, (target: string) => string> = {
  run: (machine) => `Run in ${machine}.`,
  type: (machine) => `Typed into ${machine}.`,
  paste: (machine) => `Pasted into ${machine}.`,
  open: (target) => `${target} is shown.`,
  focus: (target) => `The keyboard is with ${target}.`,
  upload: (machine) => `The file is in ${machine}.`,
};

const english = {
  language: "en",
  loading: "Loading the lab…",
  labStates,
  machineStates,
  paneStates,
  unknownState: (word: string): string => word,

  progress: "Progress",
  stepsDone: (done: number, all: number): string => `${done} of ${all} ${all === 1 ? "step" : "steps"}`,
  pointsDone: (points: number, max: number): string => `${number(points)} of ${number(max)} points`,

  timeLeft: (minutes: number): string => (minutes >= 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min left` : `${minutes} min left`),
  extend: "30 minutes more",
  stacked: "One above the other",
  sideBySide: "Side by side",
  noStep: (step: string): string => `There is no step ${step} that can be shown yet.`,
  reload: "Reload",

  instructions: "Instructions",
  pages: "Pages",
  pageNumber: (index: number, count: number): string => `Page ${index} of ${count}`,
  minutes: (minutes: number): string => `about ${minutes} ${minutes === 1 ? "minute" : "minutes"}`,
  /** What a page's small button shows; its name goes on from there, so that voice control finds it by what is seen. */
  pageChip: (index: number, done: number, all: number): string =>
    all === 0 ? `${index}` : done === all ? `${index} ✓` : `${index} · ${done}/${all}`,
  pageChipName: (shown: string, title: string, done: number, all: number): string =>
    `${shown}${all === 0 ? "" : done === all ? " done" : " steps"}: ${title}`,
  contents: "Contents",
  chosenLanguage: "Language",
  locked: "locked",
  lockedUntil: "This page opens when these steps are done:",
  costs: (points: number): string => `(costs ${number(points)} ${points === 1 ? "point" : "points"})`,
  paid: (points: number): string => `(${number(points)} ${points === 1 ? "point" : "points"} paid)`,
  buyHint: (points: number): string => `Opening this costs ${number(points)} ${points === 1 ? "point" : "points"}. Open it?`,
  question: "Question",
  answer: "Answer",
  yourAnswer: "Your answer",
  worth: (points: number): string => `${number(points)} ${points === 1 ? "point" : "points"}`,
  rightAnswer: "Right.",
  wrongAnswer: "Not right.",
  triesLeft: (left: number): string => `Not right. ${left} ${left === 1 ? "try" : "tries"} left.`,
  handedIn: "Handed in: a person will read it. Until then it may be changed.",
  handIn: "Hand in the file",
  fileHandedIn: (path: string, bytes: number): string =>
    `Handed in: ${path}, ${number(bytes)} bytes. Until a person has read it, it may be handed in again.`,
  marked: (points: number): string => `Marked: ${number(points)} ${points === 1 ? "point" : "points"}.`,
  solution: (texts: string[]): string => `Right would have been: ${texts.join(" / ")}`,
  isRight: "(right answer)",
  previousPage: (index: number, title: string): string => `← ${index} · ${title}`,
  nextPage: (index: number, title: string): string => `${index} · ${title} →`,

  points: (points: number, max: number): string => `${number(points)} / ${number(max)} ${max === 1 ? "point" : "points"}`,
  check: "Check",
  checking: "Checking…",
  tickedByItself: "This step is checked by itself as long as you look at this page.",
  tickedByCheck: "This step is ticked by its check.",
  passed: (feedback: string): string => (feedback ? `Passed. ${feedback}` : "Passed."),
  notYet: (feedback: string): string => `Not yet: ${feedback || "the check gave no reason."}`,
  checkFault: (reason: string): string => `The check could not run: ${reason || "no reason was given."}`,
  checkedAt: (time: string): string => `Checked at ${time}.`,
  checkNeedsLab: "A check needs a running lab.",

  code: (language: string): string => (language ? `Code, ${language}` : "Code"),
  copy: "Copy",
  copyOf: (what: string): string => `Copy ${what}`,
  copied: "Copied",
  copyFailed: "Copying is not allowed here: select the text and copy it by hand.",
  actions,
  acted,
  usedUp: "This can be done no more often.",
  yes: "Yes",
  no: "No",
  notTyped: (machine: string): string => `This was not done, or not to its end: ${machine} did not answer.`,
  noMachine: (machine: string): string => `There is no machine ${machine} in this lab.`,
  noPane: (target: string): string => `There is no pane ${target} in this lab.`,
  noTerminal: (machine: string): string => `${machine} has no terminal to type into.`,

  machines: "Machines",
  panesOf: (machine: string): string => `Panes of ${machine}`,
  paneTitle: (machine: string, pane: string): string => `${machine}: ${pane}`,
  openingPane: "Opening…",
  paneSilent: "This pane did not load. Reload the page, sign in again if asked to, or try again.",
  tryAgain: "Try again",
  signIn: "Sign-in details",
  signInOf: (machine: string): string => `Sign-in details of ${machine}`,
  noSignIn: (machine: string): string => `${machine} needs no sign-in.`,
  user: "User",
  password: "Password",
  key: "SSH key",
  download: "Download",
  close: "Close",
  newWindow: "New window",
  popupBlocked: "The browser did not allow a new window.",
  fullScreen: "Full screen",
  noFullScreen: "The browser does not allow full screen here.",
  resize: "Width of the instructions",
  noMachines: "This lab has no machines to show yet.",
  noPanes: (machine: string): string => `${machine} has no panes.`,
  labOver: {
    stopping: "This lab is stopping. Your ticks and results are kept.",
    stopped: "This lab has stopped, so there are no machines to show. Your ticks and results are kept.",
    failed: "This lab could not be started, so there are no machines to show.",
    lost: "The machines of this lab are gone. Your ticks and results are kept; start the lab again to go on.",
  },

  kernelGone: "The notebook's kernel does not answer. Run the cell again to reconnect.",
  kernelSlow: "The notebook's kernel does not answer. It may be busy; if it stays so, run the cell again to reconnect.",
  serviceGone: "The lab service does not answer. Trying again…",
  serviceSaid: (status: number): string => `The lab service refused this (HTTP ${status}).`,
  panesNeedJupyter:
    "Panes cannot be shown here: they need JupyterLab or a browser. Open this notebook in JupyterLab, or run “labkit open” in a terminal.",
  openInBrowser: (title: string): string => `Open ${title} in a browser on the computer that runs this notebook`,
  openService: (title: string): string => `Open ${title} in a browser`,

  preview: {
    faults: (count: number): string => (count === 1 ? "One fault" : `${count} faults`),
    ended: "The preview has ended. Start it again, and open its new link.",
  },

  start: {
    states: { running: "Under way", done: "Done", failed: "Failed" },
    seconds: (seconds: number): string => `${seconds.toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 })} s`,
    stages: (count: number, time: string): string => `${count} ${count === 1 ? "stage" : "stages"}, ${time}`,
    percent: (percent: number, stage: string): string => (stage ? `${percent} percent: ${stage}` : `${percent} percent`),
  },
};

export type Strings = typeof english;

const languages: Record<string, Strings> = { en: english, de: german };

export let strings: Strings = english;

/** From now on labkit's own words are in `language`, if there are any in it; else in English. */
export function speak(language: string): void {
  strings = languages[language] ?? english;
}
