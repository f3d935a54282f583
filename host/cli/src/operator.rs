//! Who sits at this command line, for whoever asks later who paused something.
//! It proves nothing; what somebody may do is the server's to decide.

use std::env;
use std::fs;

/// Where Linux tells the name of the machine. Shells know it too and seldom hand it on.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// `user@host`, or as much of it as is known.
pub(crate) fn name() -> String {
    let variable = |name| env::var(name).ok();
    let user = variable("USER").or_else(|| variable("LOGNAME"));
    let host = variable("HOSTNAME").or_else(|| fs::read_to_string(HOST_NAME).ok());
    joined(user.as_deref(), host.as_deref())
}

fn joined(user: Option<&str>, host: Option<&str>) -> String {
    let [user, host] = [user, host].map(|part| part.map(str::trim).filter(|part| !part.is_empty()));
    match (user, host) {
        (Some(user), Some(host)) => format!("{user}@{host}"),
        (Some(part), None) | (None, Some(part)) => part.to_owned(),
        (None, None) => "the command line".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_named_as_far_as_the_machine_knows() {
        assert_eq!(joined(Some("anna"), Some("shop-1\n")), "anna@shop-1");
        assert_eq!(joined(Some("anna"), Some("")), "anna");
        assert_eq!(joined(None, Some("shop-1")), "shop-1");
        assert_eq!(joined(None, None), "the command line");
        assert!(!name().is_empty());
    }
}
