// The view library: Preact, its hooks, and tagged templates in the place of JSX.
import htm from "../vendor/htm.js";
import { Fragment, h, render } from "../vendor/preact.js";
export { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../vendor/hooks.js";
export { Fragment, render };

/** Builds elements: html`<b>${text}</b>`. Values become text, never markup. */
export const html = htm.bind(h);
