// A pane page that speaks the message contract and shows what it was told. It reports itself connected at once.
const tell = (message) => window.parent.postMessage(message, location.origin);
const show = (id, text) => (document.getElementById(id).textContent += text);

show("came", location.hash);
addEventListener("message", (event) => {
  if (event.origin !== location.origin || event.source !== window.parent) return;
  if (event.data.type === "labkit:ticket") show("given", event.data.ticket);
  if (event.data.type === "labkit:theme") document.documentElement.dataset.dark = event.data.dark;
  const { type, id, text } = event.data;
  if (id === undefined) return;
  const refused = text === "refuse me" ? "The machine would not have it." : document.documentElement.dataset.refuses;
  if (refused) return tell({ type: "labkit:refused", id, reason: "view-only", text: refused });
  show("typed", `${type.slice("labkit:".length)} ${JSON.stringify(text)}`);
  tell({ type: "labkit:done", id });
});
const ask = document.getElementById("ask");
ask.addEventListener("click", () => tell({ type: "labkit:ticket-wanted" }));
ask.disabled = false; // a click before would go nowhere
tell({ type: "labkit:ready" });
tell({ type: "labkit:state", state: "connected" });
