// Lists by keyboard and mouse: one row is current, any may be selected.
import { useEffect, useState } from "./html.js";
import { go } from "./route.js";

/**
 * Keys for a list: j and k move, Enter opens, x selects; others call acts[key].
 * Returns {at, selected, toggle, toggleAll, clear}; ids are those of the rows now shown.
 */
export function useRows(ids, { open, acts = {} } = {}) {
  const [at, setAt] = useState(null);
  const [selected, setSelected] = useState(() => new Set());
  const toggle = (id) => setSelected((before) => {
    const after = new Set(before);
    if (!after.delete(id)) after.add(id);
    return after;
  });
  const toggleAll = () => setSelected((before) => (ids.every((id) => before.has(id)) ? new Set() : new Set(ids)));
  const clear = () => setSelected(new Set());
  useEffect(() => {
    const onKey = (event) => {
      if (event.target.closest("input,textarea,select,button,dialog") || event.metaKey || event.ctrlKey || event.altKey) return;
      const place = ids.indexOf(at);
      const move = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
      if (move) {
        const next = ids[Math.max(0, Math.min(ids.length - 1, place + (place < 0 ? 1 : move)))];
        setAt(next);
        document.querySelector(`tr[data-id="${CSS.escape(next ?? "")}"]`)?.scrollIntoView({ block: "nearest" });
      } else if (event.key === "Enter" && place >= 0 && open && !event.target.closest("a")) go(open(at));
      else if (event.key === "x" && place >= 0) toggle(at);
      else if (acts[event.key] && (selected.size || place >= 0)) acts[event.key](selected.size ? [...selected] : [at]);
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  });
  return { at, selected, toggle, toggleAll, clear };
}

/** What a row of such a list needs on its <tr>. */
export const rowOf = (rows, id) => ({ "data-id": id, key: id, class: rows.at === id ? "at" : "", "aria-selected": rows.selected.has(id) });
