// Export: the rows of a list, with its filters, as a file of comma-separated values.
import { get, stringify } from "./api.js";
import { count, counted } from "./format.js";
import { say } from "./parts.js";

const MOST = 50_000; // rows of one file
const PAGE = 500;
const WHOLE = ["/api/failures", "/api/queues"]; // lists without pages
// How a list goes on: the name of the place where the next page begins, and where that is.
const AHEAD = { "/api/schedules": ["after", (page) => page.next], "/api/events": ["after", (page) => (page.after < page.head ? page.after : null)] };
const flat = (row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, value !== null && typeof value === "object" ? stringify(value) : value]));

/** One cell: quoted where it must be, and never a formula for the program that opens the file. */
function cell(value) {
  let text = value === null || value === undefined ? "" : String(value);
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\r\n']/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Rows to text; the columns are those of the first row. */
export function csv(rows) {
  const names = Object.keys(rows[0] ?? {});
  return [names, ...rows.map((row) => names.map((name) => row[name]))].map((cells) => cells.map(cell).join(",") + "\r\n").join("");
}

/** Read all pages of a list, and hand them to the browser as a file. */
export async function saveAll(path, params, name) {
  const rows = [];
  const [mark, following] = AHEAD[path] ?? ["before", (page) => page.next];
  let from = params[mark];
  try {
    for (;;) {
      const page = await get(path, { ...params, [mark]: from, limit: WHOLE.includes(path) ? undefined : PAGE });
      rows.push(...page.items);
      from = following(page);
      if (!from || rows.length >= MOST) break;
      if (rows.length % 5000 < 500 && rows.length) say(`${count(rows.length)} rows so far.`);
    }
  } catch (problem) {
    return void say(problem.message, { fail: true });
  }
  save(rows, name);
}

/** Hand rows to the browser as a file. */
export function save(given, name) {
  const rows = given.map(flat);
  if (!rows.length) return void say("There is nothing to export.");
  const anchor = document.createElement("a");
  anchor.href = URL.createObjectURL(new Blob([csv(rows)], { type: "text/csv" }));
  anchor.download = `${name}.csv`;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 10_000);
  say(`${counted(rows.length, "row")} exported${rows.length >= MOST ? ": a file has no more than these" : ""}.`);
}
