//! `[secrets.ID]`: what the host puts into the requests of a job, in the place of `{{secret:NAME}}`.
//! It sends nothing; the runtime does, and no job gets to see one.

use std::collections::BTreeMap;

use jobmill_backends::Secret;
use jobmill_core::{JobId, limits};
use jobmill_runtime::JobSecrets;

use super::secret::SecretSource;
use crate::failure::Failure;

/// The sections, by job and by name.
pub(super) type Sections = BTreeMap<JobId, BTreeMap<String, SecretSource>>;

/// Refuses what can be refused without a look at the secrets.
pub(super) fn check(sections: &Sections) -> Result<(), Failure> {
    for (job, secrets) in sections {
        let refuse = |reason: String| Err(Failure::usage("configuration", format!("secrets.{job}{reason}")));
        if secrets.len() > limits::JOB_SECRETS {
            return refuse(format!(" has more than {} secrets", limits::JOB_SECRETS));
        }
        let is_name = |name: &str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
            (1..=limits::KEY_BYTES).contains(&name.len()) && name.bytes().all(is_plain)
        };
        if let Some(name) = secrets.keys().find(|name| !is_name(name)) {
            let name = limits::truncate(name, limits::KEY_BYTES);
            return refuse(format!(": {name:?} is no name; use letters, digits, - and _"));
        }
    }
    Ok(())
}

/// The secrets, read.
pub(super) fn read(sections: &Sections) -> Result<JobSecrets, Failure> {
    let of_job = |(job, sources): (&JobId, &BTreeMap<String, SecretSource>)| {
        let secret = |(name, source): (&String, &SecretSource)| {
            let key = format!("secrets.{job}.{name}");
            let text = source.read(&key)?;
            let length = limits::JOB_SECRET_BYTES_MIN..=limits::JOB_SETTING_BYTES;
            if !length.contains(&text.len()) || text.contains(char::is_control) {
                let (least, most) = (length.start(), length.end());
                let reason = format!("{key} can't be used: it has to be {least} to {most} bytes in one line");
                return Err(Failure::usage("secret-unusable", reason));
            }
            Ok((name.clone(), Secret::new(text)))
        };
        let secrets = sources.iter().map(secret).collect::<Result<_, Failure>>()?;
        Ok((job.clone(), secrets))
    };
    sections.iter().map(of_job).collect()
}
