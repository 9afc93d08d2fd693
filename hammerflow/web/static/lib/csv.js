// Export: the rows of a list, with its filters, as a file of comma-separated values.
import { get, stringify } from "./api.js";
import { count, counted } from "./format.js";
import { say } from "./parts.js";

const MOST = 50_000; // rows of one file
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
  let before = params.before;
  try {
    for (;;) {
      const page = await get(path, { ...params, before, limit: path === "/api/failures" || path === "/api/queues" ? undefined : 500 });
      rows.push(...page.items.map(flat));
      if (!page.next || rows.length >= MOST) break;
      before = page.next;
      if (rows.length % 5000 < 500 && rows.length) say(`${count(rows.length)} rows so far.`);
    }
  } catch (problem) {
    return void say(problem.message, { fail: true });
  }
  if (!rows.length) return void say("There is nothing to export.");
  const anchor = document.createElement("a");
  anchor.href = URL.createObjectURL(new Blob([csv(rows)], { type: "text/csv" }));
  anchor.download = `${name}.csv`;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 10_000);
  say(`${counted(rows.length, "row")} exported${rows.length >= MOST ? ": a file has no more than these" : ""}.`);
}
