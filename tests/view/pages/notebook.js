// A host of anywidgets: gives each a model with get, send, on and off. The lab's kernel side answers through the site;
// `window.kernel` is "live", "dead" (sending throws, as on a closed comm) or "busy" (nothing comes back).
import lab from "./labview-widget.js";
import start from "./progress-widget.js";

class Model {
  handlers = new Map();
  constructor(state = {}) {
    this.state = state;
  }
  get(name) {
    return this.state[name];
  }
  set(state) {
    Object.assign(this.state, state);
    for (const name of Object.keys(state)) this.emit(`change:${name}`);
  }
  on(name, handler) {
    this.handlers.set(name, [...(this.handlers.get(name) ?? []), handler]);
  }
  off(name, handler) {
    this.handlers.set(name, (this.handlers.get(name) ?? []).filter((one) => one !== handler));
  }
  emit(name, ...values) {
    for (const handler of this.handlers.get(name) ?? []) handler(...values);
  }
  async send({ id, method, params }) {
    if (method === "media") {
      const buffer = await (await fetch(`/lab/media/${params.path}`)).arrayBuffer();
      return this.emit("msg:custom", { id, result: { type: "image/svg+xml" } }, [new DataView(buffer)]);
    }
    const headers = { "X-Labkit": "1", "Content-Type": "application/json" };
    const answer = await fetch(`/lab/${method}`, { method: "POST", headers, body: JSON.stringify(params) });
    const body = await answer.json();
    this.emit("msg:custom", answer.ok ? { id, result: body } : { id, ...body });
  }
}

class LabModel extends Model {
  send(message) {
    if (window.kernel === "dead") throw new Error("Cannot send");
    if (window.kernel !== "busy") void super.send(message);
  }
}

window.kernel = "live";
// What is shown of the lab stands behind #, as JSON.
window.labModel = new LabModel({ show: JSON.parse(decodeURIComponent(location.hash.slice(1)) || "{}") });
window.startModel = new Model({
  title: "Starting hello-lab", stage_text: "Making the machine", progress: 0.4, state: "running", detail: "",
  events: [{ text: "The lab has its place", time: 100 }, { text: "The network is there", time: 101.24 }],
});
const place = () => document.getElementById("out").appendChild(document.createElement("div"));
if (location.search !== "?lab") start.render({ model: window.startModel, el: place() });
if (location.search !== "?start") window.unmount = lab.render({ model: window.labModel, el: place() });
