// Signs a body by the Standard Webhooks rules, with their own library.
//
//   standardwebhooks.mjs SECRET BODY-FILE ID [SECONDS]
//
// Prints the three headers, made now or for that time.

import { readFileSync } from "node:fs";

import { Webhook } from "standardwebhooks";

import { arguments_of, print } from "./print.mjs";

const usage = "standardwebhooks.mjs SECRET BODY-FILE ID [SECONDS]";
const [secret, file, id] = arguments_of(usage, "SECRET", "BODY-FILE", "ID");
const seconds = process.argv[5] === undefined ? Math.floor(Date.now() / 1000) : Number(process.argv[5]);
const signature = new Webhook(secret).sign(id, new Date(seconds * 1000), readFileSync(file, "utf8"));
print({ "webhook-id": id, "webhook-timestamp": String(seconds), "webhook-signature": signature });
