//! The host's side of the WIT package `jobmill:job`, generated; one module for each version that is served.
//! It decides nothing: `capability` answers the calls, `loader` and `attempt` make them.

pub(crate) mod since_0_1;
