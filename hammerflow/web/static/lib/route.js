// The path and the query of the page: all state that is worth a link lives there.
import { useEffect, useState } from "./html.js";

const BASE = document.documentElement.dataset.base;
const listeners = new Set();

/** The path below the place where the app is mounted. */
export const here = () => location.pathname.slice(BASE.length) || "/";
export const query = () => new URLSearchParams(location.search);

/** A path whose segments . and .. are names, which a browser would drop: they get a = before them, as do those that begin with one. */
const escaped = (path) => path.replace(/(?<=\/)(?=%3D|\.\.?(\/|$))/gi, "%3D");

/** The name that a segment of a path is. */
export const named = (segment) => decodeURIComponent(segment).replace(/^=/, "");

/** The address of a page: link("/jobs", {state: "failed"}). */
export const link = (path, params = {}) => asked(BASE + escaped(path), params);

function asked(path, params) {
  const given = Object.entries(params).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(given).toString();
  return path + (text ? `?${text}` : "");
}

/** Go to an address made by link(). */
export function go(address, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", address);
  for (const tell of listeners) tell();
  if (!replace) scrollTo(0, 0);
}

/** Draws again when the address changes. */
export function useAddress() {
  const [, draw] = useState(0);
  useEffect(() => {
    const tell = () => draw((n) => n + 1);
    listeners.add(tell);
    return () => listeners.delete(tell);
  }, []);
  return location.pathname + location.search;
}

/** The query's parameters, and a function that changes some of them: null removes one. */
export function useParams() {
  useAddress();
  const params = Object.fromEntries(query());
  const change = (more, options) => {
    const next = { ...params, ...more };
    if (!("before" in more)) delete next.before;
    go(asked(location.pathname, next), options);
  };
  return [params, change];
}

addEventListener("popstate", () => listeners.forEach((tell) => tell()));
addEventListener("click", (event) => {
  const anchor = event.target.closest?.("a[href]");
  if (!anchor || anchor.target || event.defaultPrevented) return;
  if (event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (anchor.origin !== location.origin || anchor.hasAttribute("download")) return;
  const path = anchor.pathname;
  if (!path.startsWith(`${BASE}/`) || path.startsWith(`${BASE}/api/`) || path.startsWith(`${BASE}/static/`)) return;
  event.preventDefault();
  go(anchor.pathname + anchor.search);
});
