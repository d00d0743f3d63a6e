// The words of a person's page of an activity, beside those of the lab view; chosen by the language that one speaks.

const english = {
  starting: (title: string): string => `Starting ${title}`,
  tryAgain: "Try again",
  again: "Start the lab again",
  pause: "Pause",
  resume: "Go on",
  more: "More…",
  resetAll: "Reset the whole lab…",
  reset: (machine: string): string => `Reset ${machine}…`,
  stop: "End the lab…",
  askResetAll: "All machines are made anew. What was written to their disks is lost; your ticks and points stay. Reset them?",
  askReset: (machine: string): string => `${machine} is made anew. What was written to its disk is lost; your ticks and points stay. Reset it?`,
  askStop: "The machines go, and what was written to their disks with them; your ticks and points stay. End the lab?",
  help: "Ask for help",
  helpOff: "Help is on its way: take it back",
};

const german: typeof english = {
  starting: (title) => `${title} startet`,
  tryAgain: "Noch einmal",
  again: "Das Lab neu starten",
  pause: "Anhalten",
  resume: "Weiter",
  more: "Mehr…",
  resetAll: "Das ganze Lab zurücksetzen…",
  reset: (machine) => `${machine} zurücksetzen…`,
  stop: "Das Lab beenden…",
  askResetAll: "Alle Maschinen werden neu gemacht. Was auf ihre Platten geschrieben wurde, geht verloren; Häkchen und Punkte bleiben. Zurücksetzen?",
  askReset: (machine) => `${machine} wird neu gemacht. Was auf die Platte geschrieben wurde, geht verloren; Häkchen und Punkte bleiben. Zurücksetzen?`,
  askStop: "Die Maschinen gehen, und was auf ihre Platten geschrieben wurde, mit ihnen; Häkchen und Punkte bleiben. Beenden?",
  help: "Um Hilfe bitten",
  helpOff: "Hilfe ist gerufen: zurücknehmen",
};

const languages: Record<string, typeof english> = { en: english, de: german };

/** The table for a language; English where there is none. */
export function words(language: string): typeof english {
  return languages[language] ?? english;
}
