//! A setting: a value with who said it. The operator's word goes before the component's, and that before the default.
//! What the values mean and how large they may be is not known here.

use serde::Serialize;

use super::overrides::Switch;

/// Where the value of a setting comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The component says so.
    Component,
    /// The operator says so.
    Configuration,
    /// Nobody says otherwise.
    Default,
}

/// A setting with its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting<T> {
    /// What is in force.
    pub value: T,
    /// Who said so.
    pub source: Source,
}

impl<T> Setting<T> {
    /// The operator's word, else the component's, else the default.
    pub(super) fn choose(configuration: Option<T>, component: Option<T>, default: T) -> Self {
        match (configuration, component) {
            (Some(value), _) => Self { value, source: Source::Configuration },
            (None, Some(value)) => Self { value, source: Source::Component },
            (None, None) => Self { value: default, source: Source::Default },
        }
    }

    /// The operator's word, else the default: no component says this.
    pub(super) fn configured(configuration: Option<T>, default: T) -> Self {
        Self::choose(configuration, None, default)
    }

    /// The same value seen otherwise.
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Setting<U> {
        Setting { value: change(self.value), source: self.source }
    }
}

impl<T> Setting<Option<T>> {
    /// The operator's word, which may be "off", else the component's, else none.
    pub(super) fn switched(configuration: Option<Switch<T>>, component: Option<T>) -> Self {
        Self::choose(configuration.map(Switch::value), component.map(Some), None)
    }
}

impl<T> Setting<Vec<T>> {
    /// The operator's list, which may be empty, else what the component lists, else nothing.
    pub(super) fn listed(configuration: Option<Vec<T>>, component: Vec<T>) -> Self {
        Self::choose(configuration, (!component.is_empty()).then_some(component), Vec::new())
    }
}
