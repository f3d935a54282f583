//! `jobmill:job/steps`: what has been done once is not done again.
//! It keeps nothing itself; the journal does.

use jobmill_core::job::Limit;
use jobmill_core::{Json, limits};
use jobmill_engine::StepError;

use super::Refusal;
use crate::bindings::since_0_1::jobmill::job::steps;
use crate::state::HostState;
use crate::stopped::Stopped;

/// A step that is not begun or not completed.
pub(crate) type StepRefusal = Refusal<steps::StepError>;

impl steps::Host for HostState {
    async fn begin(&mut self, name: String) -> Result<Option<String>, StepRefusal> {
        let attempt = self.attempt()?;
        check_name(&name)?;
        let value = attempt.context.begin_step(&name)?;
        Ok(value.map(|value| value.as_str().to_owned()))
    }

    async fn complete(&mut self, name: String, value: String) -> Result<(), StepRefusal> {
        let attempt = self.attempt()?;
        check_name(&name)?;
        let value = check_value(&name, &value, attempt.context.sandbox().limits.size(Limit::Output))?;
        let timing = attempt.meter.begin("complete");
        let completed = attempt.context.complete_step(&name, value).await;
        timing.end(completed.is_err());
        Ok(completed?)
    }

    fn convert_step_error(&mut self, refusal: StepRefusal) -> wasmtime::Result<steps::StepError> {
        refusal.into_answer()
    }
}

fn check_name(name: &str) -> Result<(), Stopped> {
    if (1..=limits::STEP_NAME_BYTES).contains(&name.len()) {
        Ok(())
    } else {
        Err(Stopped::StepName { bytes: name.len() })
    }
}

fn check_value(name: &str, value: &str, most: usize) -> Result<Json, Stopped> {
    if value.len() > most {
        return Err(Stopped::StepValueSize { name: name.to_owned(), bytes: value.len(), most });
    }
    Json::parse(value).map_err(|error| Stopped::StepValueForm { name: name.to_owned(), reason: error.to_string() })
}

impl From<StepError> for StepRefusal {
    fn from(error: StepError) -> Self {
        match error {
            StepError::AlreadyBegun => Self::Answer(steps::StepError::AlreadyBegun),
            StepError::NotBegun => Self::Answer(steps::StepError::NotBegun),
            StepError::JournalFull => Self::Answer(steps::StepError::JournalFull),
            StepError::Record(error) => error.into(),
        }
    }
}
