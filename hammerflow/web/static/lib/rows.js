// Lists by keyboard and mouse: one row is current, any may be selected.
import { count } from "./format.js";
import { html, useEffect, useRef, useState } from "./html.js";
import { go } from "./route.js";

/**
 * Keys for a list: j and k move, Enter opens, x selects; others call acts[key].
 * Returns {at, selected, toggle, toggleAll, clear}; ids are those of the rows now shown.
 */
export function useRows(ids, { open, acts } = {}) {
  const [, draw] = useState(0);
  // Not states of the view: a key may follow another one before that is drawn.
  const now = useRef({ at: null, selected: new Set() }).current;
  const set = (more) => {
    Object.assign(now, more);
    draw((n) => n + 1);
  };
  const toggle = (id) => {
    const after = new Set(now.selected);
    if (!after.delete(id)) after.add(id);
    set({ selected: after });
  };
  const toggleAll = () => set({ selected: ids.every((id) => now.selected.has(id)) ? new Set() : new Set(ids) });
  const clear = () => set({ selected: new Set() });
  const latest = useRef(null);
  latest.current = { ids, open, acts };
  useEffect(() => {
    const onKey = (event) => {
      if (event.target.closest("input,textarea,select,button,dialog") || event.metaKey || event.ctrlKey || event.altKey) return;
      const { ids, open, acts } = latest.current;
      const place = ids.indexOf(now.at);
      const move = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
      if (move) {
        const next = ids[Math.max(0, Math.min(ids.length - 1, place + (place < 0 ? 1 : move)))];
        set({ at: next });
        document.querySelector(`tr[data-id="${CSS.escape(next ?? "")}"]`)?.scrollIntoView({ block: "nearest" });
      } else if (event.key === "Enter" && place >= 0 && open && !event.target.closest("a")) go(open(now.at));
      else if (event.key === "x" && place >= 0) toggle(now.at);
      else if (acts?.[event.key] && (now.selected.size || place >= 0)) acts[event.key](now.selected.size ? [...now.selected] : [now.at]);
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  return { at: now.at, selected: now.selected, toggle, toggleAll, clear };
}

/** Items in the order that "key" or "-key" names, by valueOf(item, key): a number or a text; null comes last, and equal ones keep their order. */
export function sorted(items, sort, valueOf) {
  const isDown = sort.startsWith("-");
  const key = sort.replace(/^-/, "");
  return [...items].sort((one, other) => {
    const [a, b] = [valueOf(one, key) ?? null, valueOf(other, key) ?? null];
    if (a === null || b === null) return (a === null) - (b === null);
    const order = typeof a === "string" ? a.localeCompare(b, undefined, { numeric: true }) : a - b;
    return isDown ? -order : order;
  });
}

const DRAWN = 100; // rows of a long list at first, and with each step

/** The first rows of a long list, and what leads to the others. */
export function useSome(items) {
  const [most, show] = useState(DRAWN);
  const left = items.length - most;
  const more = left > 0 ? html`<div class="head older"><span class="dim">${count(most)} of ${count(items.length)}</span><span class="fill"></span><button class="btn" onClick=${() => show(most + DRAWN)}>Show ${count(Math.min(DRAWN, left))} more</button>${left > DRAWN ? html`<button class="btn" onClick=${() => show(items.length)}>Show all</button>` : ""}</div>` : "";
  return [items.slice(0, most), more];
}

/** What a row of such a list needs on its <tr>. */
export const rowOf = (rows, id) => ({ "data-id": id, key: id, class: rows.at === id ? "at" : "", "aria-selected": rows.selected.has(id) });
