// The page's HTML as an inert fragment. The server has sanitised it; nothing in it may run, load or leave the page.

const FORBIDDEN = "script, iframe, object, embed, style, link, meta, base, form";

export function inertFragment(html: string): DocumentFragment {
  const template = document.createElement("template"); // its content loads no images and runs nothing
  template.innerHTML = html;
  const fragment = template.content;
  for (const element of fragment.querySelectorAll(FORBIDDEN)) element.remove();
  for (const element of fragment.querySelectorAll("*")) dropActiveAttributes(element);
  for (const link of fragment.querySelectorAll("a[href]")) tameLink(link);
  return fragment;
}

function dropActiveAttributes(element: Element): void {
  for (const { name, value } of [...element.attributes]) {
    const script = /^\s*javascript:/i.test(value) && ["href", "src", "xlink:href", "action", "formaction"].includes(name);
    if (name.startsWith("on") || name === "style" || name === "srcset" || script) element.removeAttribute(name);
  }
}

/** A link to elsewhere opens beside the lab: followed in place it would end the notebook's page. */
function tameLink(link: Element): void {
  if (link.getAttribute("href")?.startsWith("#")) return;
  link.setAttribute("target", "_blank");
  link.setAttribute("rel", "noopener noreferrer");
}
