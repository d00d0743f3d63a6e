// The lab view as an anywidget: the same module, over the widget's comm.
import { commTransport, type WidgetModel } from "./comm.ts";
import { mount, type Show } from "./index.ts";

export default {
  render({ model, el }: { model: WidgetModel; el: HTMLElement }): () => void {
    return mount(el, commTransport(model), { show: (model.get("show") ?? {}) as Show });
  },
};
