// Charts over time, drawn by uPlot, which is loaded when the first one is shown.
import { begun } from "./api.js";
import { clockOf, count, dayOf } from "./format.js";
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
// Steps of an axis whose marks are whole numbers, and of one whose marks are durations that people say.
const ten = (from, to) => [...Array(to - from).keys()].flatMap((power) => [1, 2, 5].map((step) => step * 10 ** (from + power)));
const WHOLE = ten(0, 9);
const SECONDS = [...ten(-3, 0), 1, 2, 5, 10, 15, 30, ...[1, 2, 5, 10, 15, 30].map((minutes) => 60 * minutes), ...[1, 2, 6, 12].map((hours) => 3600 * hours), ...[1, 2, 5, 10, 30, 100, 300].map((days) => 86400 * days)];
const when = (at, times) => (times.at(-1) - times[0] > 2 * 86400 ? dayOf(new Date(at * 1000)) : clockOf(new Date(at * 1000)));
/** The width of an axis: that of its longest mark. */
const wide = (u, marks) => (marks ? 7 * Math.max(...marks.map((mark) => mark.length)) + 12 : 40);
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
 * Stacked or single lines over time, or, where there is nothing to draw, the sentence empty.
 *
 * times are seconds since 1970; series is [{name, state, values}], the last one on top; unit is
 * count for whole numbers, and duration for seconds; onZoom is told the seconds that were dragged
 * over.
 */
export function Chart({ empty = "Nothing happened in this time.", height = 190, ...given }) {
  const isEmpty = given.times.length < 2 || !given.series.some((one) => one.values.some(Boolean));
  return isEmpty ? html`<p class="chart-empty" style=${{ minHeight: `${height}px` }}>${empty}</p>` : html`<${Lines} height=${height} ...${given} />`;
}

function Lines({ times, series, height, stacked = false, unit, onZoom, label }) {
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
        width: box.current.clientWidth, height, padding: [8, 14, 0, 0], cursor: { y: false, points: { size: 5 }, drag: { x: Boolean(onZoom), setScale: false } },
        legend: { live: true }, select: { show: Boolean(onZoom) }, scales: { y: { range: (u, least, most) => [0, Math.max(most * 1.1, unit === count ? 4 : 0.001)] } },
        hooks: { setSelect: [(u) => u.select.width > 4 && onZoom?.(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x"))] },
        axes: [{ ...axis, size: 26, grid: { show: false }, values: (u, marks) => marks.map((at) => when(at, times)) }, { ...axis, size: wide, incrs: unit === count ? WHOLE : SECONDS, values: (u, marks) => marks.map(unit) }],
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
