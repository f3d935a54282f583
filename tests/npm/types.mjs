// Checks types with the TypeScript compiler.
//
//   types.mjs declarations FILE…         each file on its own, as strictly as there is
//   types.mjs programs EVENTS CLIENT     the programs in types/ with this events.d.ts and this build of Jobmill's client
//
// Prints { checked, errors: [line] }. What a program marks as an error and the compiler takes is an error as well.

import { spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { print } from "./print.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const compiler = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin/tsc");

const strict = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noEmit: true,
  target: "ES2022",
  module: "NodeNext",
  types: [],
};

/** Compiles a directory and gives the compiler's lines. */
function compile(directory, compilerOptions) {
  const project = join(directory, "tsconfig.json");
  writeFileSync(project, JSON.stringify({ compilerOptions, include: ["*.ts"] }));
  const run = spawnSync(process.execPath, [compiler, "-p", project, "--pretty", "false"], { encoding: "utf8" });
  if (run.error !== undefined || run.status === null) {
    throw new Error(`the compiler did not end by itself: ${run.error ?? run.signal}`);
  }
  const lines = `${run.stdout}${run.stderr}`.split("\n").filter((line) => line !== "");
  return run.status === 0 || lines.length > 0 ? lines : [`the compiler ended with ${run.status}`];
}

/** A directory for one check: below this one, where packages are found. */
function directory() {
  const place = mkdtempSync(join(here, "checked-"));
  process.on("exit", () => rmSync(place, { recursive: true, force: true }));
  writeFileSync(join(place, "package.json"), JSON.stringify({ type: "module" }));
  return place;
}

function declarations(files) {
  const place = directory();
  files.forEach((file, number) => copyFileSync(file, join(place, `${number}.d.ts`)));
  return { checked: files.length, errors: compile(place, strict) };
}

function programs([events, client]) {
  const place = directory();
  copyFileSync(events, join(place, "jobmill-events.d.ts"));
  const names = readdirSync(join(here, "types")).filter((name) => name.endsWith(".ts"));
  names.forEach((name) => copyFileSync(join(here, "types", name), join(place, name)));
  const paths = { "@jobmill/client": [join(resolve(client), "index.d.ts")] };
  // The declarations of other packages are their own affair.
  const options = { ...strict, lib: ["ES2022", "DOM"], skipLibCheck: true, paths };
  return { checked: names.length, errors: [...declarations([events]).errors, ...compile(place, options)] };
}

const [what, ...rest] = process.argv.slice(2);
const checks = { declarations, programs };
if (!(what in checks) || rest.length === 0) {
  throw new Error("usage: types.mjs declarations FILE… | programs EVENTS CLIENT");
}
print(checks[what](rest));
