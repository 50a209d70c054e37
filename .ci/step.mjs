// Runs a code step of docs/recipes as its host would, and prints as JSON what comes out of it:
// `node step.mjs HOST FILE INPUT`, with what the host gives it as JSON in INPUT.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const [host, file, input] = process.argv.slice(2);
const text = await readFile(file, "utf8");
const given = JSON.parse(input);
const require = createRequire(import.meta.url);
const AsyncFunction = (async () => {}).constructor;

const hosts = {
  async hubspot() {
    const exports = {};
    new Function("exports", "require", text)(exports, require);
    let result;
    await exports.main({ inputFields: given }, ({ outputFields }) => (result = outputFields));
    return result;
  },
  zapier: () => new AsyncFunction("inputData", "require", `let output;\n${text}\nreturn output;`)(given, require),
  n8n() {
    const { id, timestamp, signature } = given;
    const headers = { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature };
    const node = { helpers: { getBinaryDataBuffer: async () => Buffer.from(given.body) } };
    const $input = { first: () => ({ json: { headers } }) };
    const step = new AsyncFunction("$input", "$env", "require", text);
    return step.call(node, $input, { CERTHOOK_SECRET: given.secret }, require);
  },
};

console.log(JSON.stringify(await hosts[host]()));
