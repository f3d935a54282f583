//! How what we send is signed, as Standard Webhooks say, so that whoever gets it can check it with their library.
//! It sends nothing.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jobmill_core::Timestamp;

use crate::kind::WebhookKind;
use crate::secret::{PREFIX, Signer, signer};
use crate::signature::sign;

/// Signs with one secret, which it shows nowhere.
#[derive(Clone)]
pub struct Signing(Signer);

/// A secret that nothing can be signed with. The secret is no part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is no secret of Standard Webhooks, which is whsec_ and then 24 to 64 bytes in base64; make one with: \
     echo \"whsec_$(openssl rand -base64 32)\""
)]
pub struct SigningError;

impl Signing {
    /// With a secret as Standard Webhooks write it; white space around it is no part of it.
    pub fn new(secret: &str) -> Result<Self, SigningError> {
        if !secret.trim().starts_with(PREFIX) {
            return Err(SigningError);
        }
        signer(WebhookKind::Standard, secret).map(Self).map_err(|_| SigningError)
    }

    /// The headers of a body that is sent under this id at `now`.
    pub fn headers(&self, id: &str, body: &[u8], now: Timestamp) -> [(&'static str, String); 3] {
        let timestamp = (now.as_millis() / 1_000).to_string();
        let signature = sign(&self.0, Some(id), &timestamp, body).into_bytes();
        let signature = format!("v1,{}", BASE64_STANDARD.encode(signature));
        [("webhook-id", id.to_owned()), ("webhook-timestamp", timestamp), ("webhook-signature", signature)]
    }
}

impl fmt::Debug for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signing([secret])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Endpoint;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn the_standard_s_own_example_is_signed_as_it_says() {
        let signing = Signing::new(SECRET).expect("a secret");
        let now = Timestamp::from_millis(1_614_265_330_999);
        let headers = signing.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", br#"{"test": 2432232314}"#, now);
        let expected = [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned()),
            ("webhook-timestamp", "1614265330".to_owned()),
            ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=".to_owned()),
        ];
        assert_eq!(headers, expected);
    }

    #[test]
    fn what_is_signed_here_is_accepted_here() {
        let now = Timestamp::from_millis(1_772_355_600_000);
        let headers = Signing::new(SECRET).expect("a secret").headers("msg_1", b"{}", now);
        let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_bytes());
        let endpoint = Endpoint::new("duty", WebhookKind::Standard, &[SECRET.to_owned()], None).expect("an endpoint");
        assert_eq!(endpoint.verify(header, b"{}", now).map(|it| it.sender_id), Ok("msg_1".to_owned()));
        assert!(endpoint.verify(header, b"{ }", now).is_err(), "another body");
    }

    #[test]
    fn a_text_that_is_no_secret_signs_nothing_and_is_not_shown() {
        for text in
            ["", "whsec_", "hunter2", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whpk_MfKQ9r8GKYqrTwjUPD8I"]
        {
            assert_eq!(Signing::new(text).map(|_| ()), Err(SigningError), "{text}");
        }
        assert!(Signing::new(&format!(" {SECRET}\n")).is_ok());
        assert_eq!(format!("{:?}", Signing::new(SECRET)), "Ok(Signing([secret]))");
    }
}
