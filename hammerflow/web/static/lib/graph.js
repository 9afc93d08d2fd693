// Graphs of jobs, left to right: laid out by dagre, which is loaded when the first one is shown.
import { begun } from "./api.js";
import { html, useEffect, useMemo, useRef, useState } from "./html.js";
import { count } from "./format.js";
import { Shape } from "./parts.js";

const WIDE = 172;
const HIGH = 52;
const LEAST = 0.7; // of its size, to which a graph shrinks to fit before it scrolls
let layout = null;

function useDagre() {
  const [, draw] = useState(0);
  useEffect(() => {
    if (layout) return;
    const there = begun();
    import("../vendor/dagre.js").then((module) => { layout = module; }).then(() => draw((n) => n + 1)).finally(there);
  }, []);
  return layout;
}

function placed(dagre, boxes, edges) {
  const graph = new dagre.Graph();
  graph.setGraph({ rankdir: "LR", nodesep: 22, ranksep: 44, marginx: 8, marginy: 8, ranker: boxes.length > 150 ? "longest-path" : "network-simplex" });
  graph.setDefaultEdgeLabel(() => ({}));
  boxes.forEach((box, place) => graph.setNode(String(place), { width: WIDE, height: HIGH }));
  edges.forEach(([above, below]) => graph.setEdge(String(above), String(below)));
  dagre.layout(graph);
  return { size: graph.graph(), at: boxes.map((box, place) => graph.node(String(place))) };
}

/** The edges on the way from a root to the first box that failed. */
function lit(boxes, edges) {
  const found = new Set();
  const due = [boxes.findIndex((box) => stateOf(box) === "failed")];
  const seen = new Set(due);
  while (due.length) {
    const below = due.pop();
    edges.forEach(([above, to], place) => {
      if (to !== below || below < 0) return;
      found.add(place);
      if (!seen.has(above)) {
        seen.add(above);
        due.push(above);
      }
    });
  }
  return found;
}

const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

/** A folded box looks like the worst of its jobs. */
const stateOf = (box) => (box.is_folded ? ["failed", "running", "ready", "scheduled", "waiting"].find((state) => box.states?.[state]) ?? "completed" : box.state ?? "waiting");

const folded = (title) => title.replace(/ x (?=[\d ]+$)/, " × ");

function Box({ box, at, says, onOpen }) {
  const x = at.x - WIDE / 2;
  const y = at.y - HIGH / 2;
  const state = stateOf(box);
  const states = Object.entries(box.states ?? {});
  const total = states.reduce((sum, [, value]) => sum + value, 0);
  let from = x + 10;
  const open = (event) => {
    if (event.type === "keydown" && event.key !== "Enter") return;
    onOpen(box);
  };
  return html`<g class=${state} role="link" tabindex="0" aria-label="${box.title}, ${state}" onClick=${open} onKeyDown=${open} style=${{ cursor: "pointer" }}><title>${[folded(box.title), ...box.lines, ...(says ?? [])].join("\n")}</title><rect class="box" x=${x} y=${y} width=${WIDE} height=${HIGH} rx="8" /><svg x=${x + 10} y=${y + 13} width="12" height="12" viewBox="0 0 12 12"><${Shape} state=${state} /></svg><text class="ink" x=${x + 28} y=${y + 23} font-weight="600">${short(folded(box.title), 20)}</text><text x=${x + 10} y=${y + 41}>${short((says ?? box.lines).join(" · "), 26)}</text>${box.is_folded && total ? states.map(([name, value]) => {
    const width = ((WIDE - 20) * value) / total;
    const left = from;
    from += width;
    return html`<rect class=${name} x=${left} y=${y + HIGH - 6} width=${Math.max(1, width)} height="3" fill="currentColor"><title>${count(value)} ${name}</title></rect>`;
  }) : ""}</g>`;
}

/** Boxes with edges by their places; says(box) gives what is below its title, if not its own lines. */
export function Graph({ boxes, edges, follow, says = () => null, onOpen }) {
  const dagre = useDagre();
  const frame = useRef(null);
  const shape = JSON.stringify([boxes.map((box) => box.title), edges]);
  const plan = useMemo(() => dagre && boxes.length && placed(dagre, boxes, edges), [dagre, shape]);
  const path = useMemo(() => lit(boxes, edges), [shape, boxes]);
  useEffect(() => {
    if (!follow || !plan) return;
    const running = boxes.findIndex((box) => stateOf(box) === "running");
    if (running >= 0) frame.current.scrollTo({ left: plan.at[running].x - frame.current.clientWidth / 2, top: plan.at[running].y - frame.current.clientHeight / 2 });
  });
  if (!boxes.length) return html`<p class="dim">It has no jobs yet.</p>`;
  if (!plan) return "";
  const { width, height } = plan.size;
  return html`<div class="graph" ref=${frame} tabindex="0" aria-label="Graph of ${count(boxes.length)} boxes"><svg width=${width} height=${height} viewBox="0 0 ${width} ${height}" style=${{ maxWidth: `max(100%, ${LEAST * width}px)`, height: "auto" }}>${edges.map(([above, below], place) => {
    const [a, b] = [plan.at[above], plan.at[below]];
    const [x1, x2] = [a.x + WIDE / 2, b.x - WIDE / 2];
    return html`<path class="edge ${path.has(place) ? "lit" : ""}" d="M${x1} ${a.y} C${x1 + 24} ${a.y} ${x2 - 24} ${b.y} ${x2} ${b.y}" />`;
  })}${boxes.map((box, place) => html`<${Box} key=${place} box=${box} at=${plan.at[place]} says=${says(box)} onOpen=${onOpen} />`)}</svg></div>`;
}
