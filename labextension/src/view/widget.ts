// The lab view as an anywidget: the same module, over the widget's comm.
import { commTransport, type WidgetModel } from "./comm.ts";
import { mount } from "./index.ts";

export default {
  render({ model, el }: { model: WidgetModel; el: HTMLElement }): () => void {
    return mount(el, commTransport(model));
  },
};
