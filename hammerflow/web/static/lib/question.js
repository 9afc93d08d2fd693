// The dialog of a question: its fields, what is wrong with each of them, and the change it makes.
import { parse } from "./api.js";
import { html, useEffect, useRef, useState } from "./html.js";
import { say, Trouble } from "./parts.js";

/** Raised by the change of a form: what is wrong with one of its fields. */
export class Misfit extends Error {
  constructor(field, says) {
    super(says);
    this.field = field;
  }
}

const FORMS = { list: [Array.isArray, "[1, \"two\"]"], object: [(value) => value !== null && typeof value === "object" && !Array.isArray(value), "{\"name\": \"value\"}"] };

/** The value of a field of JSON; undefined where it was left empty. */
function json({ name, json: form }, text) {
  if (!text.trim()) return undefined;
  let value;
  try {
    value = parse(text);
  } catch (error) {
    throw new Misfit(name, `This is not JSON: ${error.message}.`);
  }
  const [fits, example] = FORMS[form];
  if (!fits(value)) throw new Misfit(name, `This must be a JSON ${form}, such as ${example}.`);
  return value;
}

/** What a form holds: texts, flags, and values of JSON. */
function valuesOf(form, fields) {
  const values = Object.fromEntries(new FormData(form));
  for (const field of fields) {
    const input = form.elements.namedItem(field.name);
    if (field.kind === "check") values[field.name] = input.checked;
    else if (field.required && !values[field.name]?.trim()) throw new Misfit(field.name, "Fill this in.");
    else if (input?.validity?.badInput) throw new Misfit(field.name, "This must be a number.");
    else if (field.json) values[field.name] = json(field, values[field.name] ?? "");
  }
  return values;
}

// Where a refusal names what it refuses: `$.url`, "every must be ...", "the target ... needs url".
const BLAMES = [/`\$\.(?:options\.|config\.|filters\.)?(\w+)/, /(?:^|[:;] )(\w+)(?: \([^)]*\))? must\b/, /needs (\w+)\b/, /(?:option|parameter) '(\w+)'/];

/** The field that a refusal is about, and what it says. */
function blamed(problem, fields, given) {
  if (problem.field) return { field: problem.field, says: problem.message };
  const says = problem.message.replace(/ - at `\$[^`]*`$/, "");
  const text = `${says[0].toUpperCase()}${says.slice(1)}${/[.!?]$/.test(says) ? "" : "."}`;
  if (problem.errors?.length && given.args) return { field: problem.errors.some((one) => one.argument in (given.kwargs ?? {})) || !given.args.length ? "kwargs" : "args", says: text };
  const named = BLAMES.map((pattern) => pattern.exec(problem.message)?.[1]).filter(Boolean);
  const found = fields.find((field) => named.includes(field.sent ?? field.name)) ?? fields.find((field) => field.refused?.test(problem.message));
  return { field: found?.name ?? null, says: text };
}

const optionsOf = (options) => options.map((option) => (Array.isArray(option) ? option : [option, option]));

function Input({ field, ...more }) {
  const { name, kind = "text", value = "", options, json: form, placeholder } = field;
  if (kind === "select") return html`<select name=${name} ...${more}>${optionsOf(options).map(([option, text]) => html`<option value=${option} selected=${option === value}>${text}</option>`)}</select>`;
  if (kind === "long") return html`<textarea name=${name} spellcheck=${false} rows=${field.rows ?? 4} placeholder=${placeholder} ...${more}>${value}</textarea>`;
  if (kind === "check") return html`<input type="checkbox" name=${name} defaultChecked=${Boolean(value)} ...${more} />`;
  const list = options && `options-${name}`;
  return html`<input type=${kind} step=${kind === "number" ? "any" : undefined} name=${name} defaultValue=${value} placeholder=${placeholder} autocomplete="off" spellcheck=${false} list=${list} ...${more} />${options ? html`<datalist id=${list}>${options.map((option) => html`<option value=${option} />`)}</datalist>` : ""}`;
}

const PAUSE = 300; // milliseconds without a key before a hint is asked for

/** What the server says of the values so far: it comes while they are typed. */
function useHint(hint, values) {
  const [told, setTold] = useState(null);
  const key = hint && hint.of.map((name) => values[name]).join("\n");
  useEffect(() => {
    if (!hint) return undefined;
    let isOver = false;
    const timer = setTimeout(() => hint.ask(values).then((text) => isOver || setTold(text)), PAUSE);
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [key]);
  return told;
}

function Field({ field, wrong, values }) {
  const id = `field-${field.name}`;
  const hint = useHint(field.hint, values);
  const note = hint ?? field.note;
  const about = [note && `${id}-note`, wrong && `${id}-wrong`].filter(Boolean).join(" ") || undefined;
  const input = html`<${Input} field=${field} id=${id} aria-describedby=${about} aria-invalid=${wrong ? "true" : undefined} aria-required=${field.required ? "true" : undefined} />`;
  const label = html`<label for=${id}>${field.label}${field.optional ? html` <span class="faint">optional</span>` : ""}</label>`;
  return html`<div class="field ${field.half ? "half" : ""} ${field.kind === "check" ? "check" : ""}">${field.kind === "check" ? [input, label] : [label, input]}${wrong ? html`<small class="bad" id="${id}-wrong">${wrong.says}</small>` : ""}${note ? html`<small class="faint" id="${id}-note">${note}</small>` : ""}</div>`;
}

/**
 * A question; end() gets the values of its fields, or null where it was left.
 *
 * Where it has a change, that is made while the question is shown: what is refused stays to be
 * mended, with the reason next to its field, and end() gets the answer. fields may be a function of
 * the values so far.
 */
export function Dialog({ now, end: told }) {
  const box = useRef(null);
  const end = (value) => {
    box.current.close(); // so that the focus goes back to where it was
    told(value);
  };
  const [values, setValues] = useState({});
  const [wrong, setWrong] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const fields = (typeof now.fields === "function" ? now.fields(values) : now.fields) ?? [];
  const [plain, more] = [fields.filter((field) => !field.more), fields.filter((field) => field.more)];
  useEffect(() => {
    box.current.showModal();
    if (fields.length) setValues(Object.fromEntries(new FormData(box.current.querySelector("form"))));
  }, []);
  useEffect(() => {
    if (wrong?.field) box.current.querySelector(`[name="${CSS.escape(wrong.field)}"]`)?.focus();
  }, [wrong]);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    let given = {};
    try {
      given = valuesOf(event.target, fields);
      if (!now.change) return end(given);
      const answer = await now.change(given);
      const said = typeof now.said === "function" ? now.said(answer, given) : now.said;
      if (said) say(said);
      return end(answer ?? given);
    } catch (problem) {
      if (problem.status === undefined && !problem.field) throw problem;
      return setWrong(blamed(problem, fields, given));
    } finally {
      setBusy(false);
    }
  };
  const shown = (some) => html`<div class="fields">${some.map((field) => html`<${Field} key=${field.name} field=${field} values=${values} wrong=${wrong?.field === field.name ? wrong : null} />`)}</div>`;
  const isAsked = more.some((field) => (field.kind === "select" ? field.isSet : field.value) || wrong?.field === field.name);
  return html`<dialog ref=${box} class=${fields.length > 4 ? "wide" : ""} aria-labelledby="question" onCancel=${(event) => { event.preventDefault(); end(null); }}><form novalidate onSubmit=${submit} onInput=${(event) => setValues(Object.fromEntries(new FormData(event.currentTarget)))}><h2 id="question">${now.title}</h2>${now.text ? html`<div class="dim">${now.text}</div>` : ""}${shown(plain)}${more.length ? html`<details open=${isAsked}><summary>More options</summary>${shown(more)}</details>` : ""}${wrong && !wrong.field ? html`<${Trouble} problem=${{ message: wrong.says }} />` : ""}<div class="end"><button type="button" class="btn" onClick=${() => end(null)}>${now.leave ?? "Cancel"}</button><button class="btn ${now.harm ? "harm" : "main"}" disabled=${isBusy}>${now.action}</button></div></form></dialog>`;
}
