// The extension's sign: two machines and the cable between them.
import { LabIcon } from "@jupyterlab/ui-components";

const svgstr = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="16"><g class="jp-icon3" fill="#616161">
<path d="M2 4h9v7H2zm1.5 1.5v4h6v-4zM13 13h9v7h-9zm1.5 1.5v4h6v-4zM6 12h1.5v4.5H12V18H6z"/></g></svg>`;

export const labIcon = new LabIcon({ name: "labkit:lab", svgstr });
