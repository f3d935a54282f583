// Checks a signed body by the Standard Webhooks rules, with their own library, as whoever is told of dead runs does.
//
//   standardwebhooks_verify.mjs SECRET BODY-FILE ID SECONDS SIGNATURE
//
// Prints what the body says, or why it is refused.

import { readFileSync } from "node:fs";

import { Webhook } from "standardwebhooks";

import { arguments_of, print } from "./print.mjs";

const names = ["SECRET", "BODY-FILE", "ID", "SECONDS", "SIGNATURE"];
const [secret, file, id, seconds, signature] = arguments_of(`standardwebhooks_verify.mjs ${names.join(" ")}`, ...names);
const headers = { "webhook-id": id, "webhook-timestamp": seconds, "webhook-signature": signature };
try {
  print({ verified: new Webhook(secret).verify(readFileSync(file, "utf8"), headers) });
} catch (error) {
  print({ refused: error.message });
}
