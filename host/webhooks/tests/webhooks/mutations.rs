//! A hundred thousand damaged deliveries, drawn from one seed: body, headers, secret and clock, none of which is accepted.
//! What a damage left as it was signed is not counted.

use jobmill_webhooks::{Endpoint, WebhookKind};

use crate::sender::{Headers, SIGNED_AT, STANDARD_SECRET, STRIPE_SECRET, at, endpoint, signed};

const MUTATIONS: usize = 100_000;
const BODY: &[u8] = br#"{"id":"evt_1","type":"charge.refunded","data":{"object":{"metadata":{"orderId":"order_1"}}}}"#;

/// splitmix64: fit for a test only.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound.max(1) as u64).expect("below a bound")
    }

    fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let place = self.below(bytes.len());
            match self.below(6) {
                0 | 1 if !bytes.is_empty() => bytes[place] ^= 1 << self.below(8),
                2 if !bytes.is_empty() => _ = bytes.remove(place),
                3 => bytes.truncate(place),
                4 => bytes.insert(place, b"0=,. v1"[self.below(7)]),
                _ => bytes.rotate_left(place),
            }
        }
    }
}

/// Whether the headers still say all that was signed, and something beside it.
fn say_the_same(kind: WebhookKind, before: &Headers, after: &Headers) -> bool {
    let parts = |headers: &Headers, name: &str, between: u8| {
        headers.get(name).unwrap_or_default().split(|byte| *byte == between).map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    match kind {
        WebhookKind::Stripe => {
            let after = parts(after, "stripe-signature", b',');
            let trimmed: Vec<&[u8]> = after.iter().map(|part| part.trim_ascii()).collect();
            parts(before, "stripe-signature", b',').iter().all(|part| trimmed.contains(&part.as_slice()))
        }
        WebhookKind::Standard => {
            let same = ["svix-id", "svix-timestamp"].iter().all(|name| before.get(name) == after.get(name));
            let after = parts(after, "svix-signature", b' ');
            same && parts(before, "svix-signature", b' ').iter().all(|part| after.contains(part))
        }
    }
}

fn another(kind: WebhookKind, draw: &mut Draw) -> Option<Endpoint> {
    let mut secret = match kind {
        WebhookKind::Stripe => STRIPE_SECRET,
        WebhookKind::Standard => STANDARD_SECRET,
    }
    .as_bytes()
    .to_vec();
    let place = draw.below(secret.len() - 6) + 6;
    let letter = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"[draw.below(62)];
    if secret[place] == letter {
        return None;
    }
    secret[place] = letter;
    Endpoint::new("shop", kind, &[String::from_utf8(secret).ok()?], None).ok()
}

#[test]
fn none_of_a_hundred_thousand_damaged_deliveries_is_accepted() {
    let mut draw = Draw(20_260_301);
    let mut refused = 0;
    while refused < MUTATIONS {
        let kind = [WebhookKind::Stripe, WebhookKind::Standard][draw.below(2)];
        let (mut endpoint, mut headers, mut body, mut now) =
            (endpoint(kind), signed(kind, BODY), BODY.to_vec(), SIGNED_AT);
        let original = headers.clone();
        let mut is_other = false;
        match draw.below(8) {
            0..=2 => draw.damage(&mut body),
            3..=5 => {
                let which = draw.below(headers.0.len());
                draw.damage(&mut headers.0[which].1);
            }
            6 => match another(kind, &mut draw) {
                Some(other) => (endpoint, is_other) = (other, true),
                None => continue,
            },
            _ => {
                let far = 301 + draw.below(100_000_000) as u64;
                now = if draw.below(2) == 0 { SIGNED_AT + far } else { SIGNED_AT.saturating_sub(far) };
                is_other = true;
            }
        }
        if !is_other && body == BODY && say_the_same(kind, &original, &headers) {
            continue;
        }
        let taken = endpoint.verify(|name| headers.get(name), &body, at(now));
        assert!(taken.is_err(), "{kind}: accepted {headers:?} with {:?} at {now}", String::from_utf8_lossy(&body));
        refused += 1;
    }
}
