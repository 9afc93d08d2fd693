// Reads a JSON list of diagrams from standard input, lets Mermaid parse each, and writes a JSON list:
// for a flow chart that is accepted, what it read ({nodes, edges}); for another, {error}.
// node mermaid_parse.mjs FOLDER, in whose node_modules there are mermaid and jsdom.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const found = createRequire(`${process.argv[2]}/package.json`);
const { JSDOM } = found("jsdom");
const { window } = new JSDOM("");
globalThis.window = window;
globalThis.document = window.document;
const folder = pathToFileURL(`${process.argv[2]}/node_modules/mermaid/dist/mermaid.core.mjs`);
const { default: mermaid } = await import(folder);

const answers = [];
for (const text of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    await mermaid.parse(text);
    const { db } = await mermaid.mermaidAPI.getDiagramFromText(text);
    const nodes = [...db.getVertices().values()].map((node) => [node.id, node.text]);
    answers.push({ nodes, edges: db.getEdges().map((edge) => [edge.start, edge.end]) });
  } catch (error) {
    answers.push({ error: String(error.message) });
  }
}
process.stdout.write(JSON.stringify(answers));
