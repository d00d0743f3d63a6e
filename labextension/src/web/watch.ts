// Somebody else's page of an activity, to look at: the server refuses all that would change anything.
import { httpTransport, mount } from "../view/index.ts";

mount(document.getElementById("watch") as HTMLElement, httpTransport("view", "/"));
