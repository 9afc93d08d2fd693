// Numbers, times and names as people say them.

const THIN = "\u2009";

/** 12480 -> "12 480", with thin spaces. */
export function count(value) {
  if (value === null || value === undefined) return "";
  return String(Math.round(value)).replace(/\B(?=(\d{3})+(?!\d))/g, THIN);
}

/** A text of the server, with thin spaces in its numbers. */
export const spaced = (text) => text.replace(/(?<=\d),(?=\d{3}(?!\d))/g, THIN);

/** "1 job", "12 jobs". */
export const counted = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

/** Seconds as "38 ms", "4.2 s", "4 min 12 s", "3 h 5 min", "2 d 4 h". */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 0) return `-${duration(-seconds)}`;
  if (seconds < 0.0005) return "0 ms";
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const steps = [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]];
  for (const [size, name, below, belowName] of steps) {
    if (whole >= size) {
      const rest = Math.floor((whole % size) / below);
      return `${Math.floor(whole / size)} ${name}${rest ? ` ${rest} ${belowName}` : ""}`;
    }
  }
  return `${whole} s`;
}

/** A rate for each second as "3.2/s" or "12/min". */
export function rate(perSecond) {
  if (!perSecond) return "";
  if (perSecond >= 10) return `${count(perSecond)}/s`;
  if (perSecond >= 1) return `${perSecond.toFixed(1)}/s`;
  const perMinute = perSecond * 60;
  return perMinute >= 1 ? `${Math.round(perMinute)}/min` : `${(perMinute * 60).toFixed(0)}/h`;
}

/** Bytes as "610 MB". */
export function bytes(value) {
  if (value === null || value === undefined) return "";
  for (const [size, name] of [[1e9, "GB"], [1e6, "MB"], [1e3, "KB"]]) {
    if (value >= size) return `${(value / size).toFixed(value >= 10 * size ? 0 : 1)} ${name}`;
  }
  return `${value} B`;
}

export const percent = (part, whole) => (whole ? `${((100 * part) / whole).toFixed(part && part < whole ? 1 : 0)} %` : "");

export const secondsSince = (instant) => (Date.now() - Date.parse(instant)) / 1000;

/** "12 s ago", "4 min ago", "in 2 h 10 min": without seconds from a minute on, which would only flicker. */
export function ago(instant) {
  const seconds = secondsSince(instant);
  const away = Math.abs(seconds);
  if (away < 1) return "now";
  const text = away < 60 ? `${Math.floor(away)} s` : duration(Math.floor(away / 60) * 60);
  return seconds >= 0 ? `${text} ago` : `in ${text}`;
}

// By hand: what the browser has for times takes it a tenth of a second to load, and speaks the system's language.
const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const two = (value) => String(value).padStart(2, "0");

/** "18:40" or "18:40:02" in the reader's zone. */
export const clockOf = (at, withSeconds = false) => [at.getHours(), at.getMinutes(), ...(withSeconds ? [at.getSeconds()] : [])].map(two).join(":");

/** "Tue". */
export const weekday = (at) => DAYS[at.getDay()];

/** "12 Nov". */
export const dayOf = (at) => `${at.getDate()} ${MONTHS[at.getMonth()]}`;

/** An instant in the reader's zone: "18:40:02" today, "Tue 18:40" this week, "12 Nov 18:40" before. */
export function instant(text, { seconds = true } = {}) {
  const at = new Date(text);
  const days = (Date.now() - at) / 86400e3;
  const clock = clockOf(at, seconds && days < 1 && days > -1);
  if (at.toDateString() === new Date().toDateString()) return clock;
  if (days < 6 && days > -6) return `${weekday(at)} ${clock}`;
  return `${dayOf(at)}${Math.abs(days) > 300 ? ` ${at.getFullYear()}` : ""} ${clock}`;
}

/** All of an instant: "Tue 12 Nov 2026, 18:40:02.125, UTC+1". */
export function exact(text) {
  const at = new Date(text);
  return `${weekday(at)} ${dayOf(at)} ${at.getFullYear()}, ${clockOf(at, true)}.${String(at.getMilliseconds()).padStart(3, "0")}, ${offset(at)}`;
}

/** How far the reader's zone is from UTC at an instant: "UTC+1". */
export function offset(at = new Date()) {
  const minutes = -at.getTimezoneOffset();
  const hours = Math.trunc(minutes / 60);
  const rest = Math.abs(minutes % 60);
  const sign = minutes > 0 ? "+" : minutes < 0 && hours === 0 ? "-" : "";
  return minutes === 0 ? "UTC" : `UTC${sign}${hours}${rest ? `:${two(rest)}` : ""}`;
}

/** The reader's zone: "Berlin, UTC+1". The browser takes long to find its name: ask when the page is there. */
export function zone() {
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const city = name.split("/").pop().replaceAll("_", " ");
  return city === "UTC" ? "UTC" : `${city}, ${offset()}`;
}

/** The first part of an id, enough to tell jobs of one screen apart. */
export const shortId = (id) => (id ? id.slice(0, 18) : "");

/** The last part of a type's name: "SMTPServerDisconnected". */
export const typeName = (name) => (name ? name.split(".").pop() : "");
