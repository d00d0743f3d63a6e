// A page that hosts the lab view over HTTP, as the LTI page does. `?fill` lets the view fill the window.
import { httpTransport, mount } from "./labview.js";

const element = document.getElementById("lab");
if (location.search === "?fill") {
  document.body.style.margin = 0;
  element.style.height = "100vh";
  element.dataset.labkitFill = "";
}
window.unmount = mount(element, httpTransport("/lab"));
