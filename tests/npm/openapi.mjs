// Checks an OpenAPI document against the schema of its version.
//
//   openapi.mjs FILE
//
// Prints { valid, version, errors }; a reference that leads nowhere is an error too.

import { Validator } from "@seriousme/openapi-schema-validator";

import { arguments_of, print, told } from "./print.mjs";

const [file] = arguments_of("openapi.mjs FILE", "FILE");
const validator = new Validator();
const { valid, errors } = await validator.validate(file);
const found = Array.isArray(errors) ? errors : errors ? [told({ message: errors })] : [];
if (valid) {
  try {
    validator.resolveRefs();
  } catch (error) {
    found.push(told(error));
  }
}
print({ valid: valid && found.length === 0, version: validator.version ?? null, errors: found });
