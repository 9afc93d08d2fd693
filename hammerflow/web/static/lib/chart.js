// Charts over time, drawn by uPlot, which is loaded when the first one is shown.
import { begun } from "./api.js";
import { clockOf, count } from "./format.js";
import { html, useEffect, useRef, useState } from "./html.js";

let loading = null;
function load() {
  if (!loading) {
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = new URL("../vendor/uplot.css", import.meta.url);
    document.head.append(style);
    loading = import("../vendor/uplot.js").then((module) => module.default);
  }
  return loading;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);
// light-dark() is resolved only where a property is used.
function resolved(name) {
  const probe = document.createElement("i");
  probe.style.color = colour(name);
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
const WHOLE = [1, 2, 5].flatMap((step) => [...Array(9).keys()].map((power) => step * 10 ** power)).sort((a, b) => a - b);
const when = (at, times) => (times.at(-1) - times[0] > 2 * 86400 ? new Date(at * 1000).toLocaleDateString([], { day: "numeric", month: "short" }) : clockOf(new Date(at * 1000)));
const pale = (text) => text.replace("rgb(", "rgba(").replace(")", ",.25)");

/** A number that changes with the colours: by the page's switch, or as the system's theme does. */
function useTheme() {
  const [times, setTimes] = useState(0);
  useEffect(() => {
    const changed = () => setTimes((before) => before + 1);
    const seen = new MutationObserver(changed);
    const system = matchMedia("(prefers-color-scheme: dark)");
    seen.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    system.addEventListener("change", changed);
    return () => {
      seen.disconnect();
      system.removeEventListener("change", changed);
    };
  }, []);
  return times;
}

/**
 * Stacked or single lines over time.
 *
 * times are seconds since 1970; series is [{name, state, values}], the last one on top; onZoom is
 * told the seconds that were dragged over.
 */
export function Chart({ times, series, height = 190, stacked = false, unit = String, onZoom, label }) {
  const box = useRef(null);
  const plot = useRef(null);
  const theme = useTheme();
  const key = series.map((one) => one.name).join();
  const shown = () => {
    const values = series.map((one) => one.values);
    if (stacked) for (let row = 1; row < values.length; row += 1) values[row] = values[row].map((value, place) => (value ?? 0) + (values[row - 1][place] ?? 0));
    return [times, ...values.reverse()];
  };
  useEffect(() => {
    let isOver = false;
    const there = begun();
    load().then((UPlot) => {
      if (isOver || !box.current) return;
      const axis = { stroke: resolved("faint"), grid: { stroke: resolved("line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
      plot.current = new UPlot({
        width: box.current.clientWidth, height, cursor: { y: false, points: { size: 5 }, drag: { x: Boolean(onZoom), setScale: false } },
        legend: { live: true }, select: { show: Boolean(onZoom) }, scales: { y: { range: (u, least, most) => [0, Math.max(most * 1.1, unit === count ? 4 : 0.001)] } },
        hooks: { setSelect: [(u) => u.select.width > 4 && onZoom?.(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x"))] },
        axes: [{ ...axis, size: 30, grid: { show: false }, values: (u, marks) => marks.map((at) => when(at, times)) }, { ...axis, size: 62, incrs: unit === count ? WHOLE : undefined, values: (u, marks) => marks.map(unit) }],
        series: [{ value: (u, at) => (at ? clockOf(new Date(at * 1000)) : "") }, ...[...series].reverse().map((one) => ({
          label: one.name, stroke: resolved(one.state), width: 1.5, points: { show: false }, fill: stacked ? pale(resolved(one.state)) : undefined,
          value: (u, value, place, row) => (row === null ? "" : unit(one.values[row] ?? 0)) }))],
      }, shown(), box.current);
    }).finally(there);
    const resize = new ResizeObserver(() => box.current && plot.current?.setSize({ width: box.current.clientWidth, height }));
    resize.observe(box.current);
    return () => {
      isOver = true;
      resize.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [key, theme]);
  useEffect(() => plot.current?.setData(shown()));
  return html`<div class="chart" ref=${box} role="img" aria-label=${label}></div>`;
}
