// The author's preview: the lab view over HTTP, and above it what is wrong with the template, anew at each save.
import "./preview.css";
import { h, setText } from "./dom.ts";
import { httpTransport, mount } from "./index.ts";
import { strings } from "./strings.ts";

interface News {
  faults: { file: string; line: number; text: string }[];
  notice: string;
}

const listeners = new Set<(event: unknown) => void>();
const title = h("strong");
const list = h("ul");
const notice = h("p");
const panel = h("section", { class: "faults", attributes: { role: "status", hidden: true } }, title, list, notice);
const main = h("main", { attributes: { "data-labkit-fill": true } });
document.body.append(panel, main);

function show({ faults, notice: said }: News): void {
  setText(title, faults.length === 0 ? "" : strings.preview.faults(faults.length));
  list.replaceChildren(...faults.map(({ file, line, text }) =>
    h("li", {}, h("code", {}, line > 0 ? `${file}:${line}` : file), ` ${text}`)));
  setText(notice, said);
  panel.hidden = faults.length === 0 && said === "";
}

mount(main, {
  ...httpTransport("lab", "/"),
  onEvent(callback) {
    listeners.add(callback);
    return () => listeners.delete(callback);
  },
});

const news = new EventSource("changes");
news.addEventListener("message", (event: MessageEvent<string>) => {
  show(JSON.parse(event.data) as News);
  for (const listener of listeners) listener({ changed: "text" });
});
news.addEventListener("error", () => show({ faults: [], notice: strings.preview.ended }));
