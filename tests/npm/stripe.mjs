// Signs a body as Stripe does, with Stripe's own library.
//
//   stripe.mjs SECRET BODY-FILE [SECONDS]
//
// Prints { header }: the value of Stripe-Signature, made now or at that time.

import { readFileSync } from "node:fs";

import Stripe from "stripe";

import { arguments_of, print } from "./print.mjs";

const [secret, file] = arguments_of("stripe.mjs SECRET BODY-FILE [SECONDS]", "SECRET", "BODY-FILE");
const timestamp = process.argv[4] === undefined ? Math.floor(Date.now() / 1000) : Number(process.argv[4]);
const payload = readFileSync(file, "utf8");
// The key is for requests to Stripe, of which none is made.
const { webhooks } = new Stripe("sk_test_none");
print({ header: webhooks.generateTestHeaderString({ payload, secret, timestamp }) });
