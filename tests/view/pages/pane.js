// A pane page that speaks the message contract and shows what it was told. It reports itself connected at once.
const tell = (message) => window.parent.postMessage(message, location.origin);
const show = (id, text) => (document.getElementById(id).textContent += text);

show("came", location.hash);
addEventListener("message", (event) => {
  if (event.origin !== location.origin || event.source !== window.parent) return;
  if (event.data.type === "labkit:ticket") show("given", event.data.ticket);
  if (event.data.type === "labkit:theme") document.documentElement.dataset.dark = event.data.dark;
  if (!["labkit:type", "labkit:run"].includes(event.data.type)) return;
  const { type, id, text } = event.data;
  const refused = document.documentElement.dataset.refuses;
  show("typed", refused ? "" : JSON.stringify(text + (type === "labkit:run" ? "\n" : "")));
  tell(refused ? { type: "labkit:refused", id, reason: "view-only", text: refused } : { type: "labkit:done", id });
});
document.getElementById("ask").addEventListener("click", () => tell({ type: "labkit:ticket-wanted" }));
tell({ type: "labkit:ready" });
tell({ type: "labkit:state", state: "connected" });
