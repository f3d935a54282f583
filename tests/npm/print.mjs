// What every script here does at its end: one JSON object on stdout, and nothing else there.
// Whatever a package prints on its own account goes to stderr.

console.log = console.error;
console.info = console.error;
console.debug = console.error;

export function print(result) {
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

/** An error as an object. */
export function told(error) {
  return { error: String(error?.message ?? error), name: error?.name };
}

/** The arguments, of which each has to be there. */
export function arguments_of(usage, ...names) {
  const values = process.argv.slice(2, 2 + names.length);
  if (values.length < names.length) {
    throw new Error(`usage: ${usage}; ${names[values.length]} is missing`);
  }
  return values;
}
