//! Makes jobs: scaffolds job crates, finds a way to compile them, builds them to components and puts them into the hopper.
//! It prints nothing and loads nothing: what it has to say goes to the caller, and whether a component is a job the runtime tells.

mod build;
mod discovery;
mod error;
mod install;
mod name;
mod process;
mod scaffold;
mod sdk_source;
mod toolchain;

pub use build::{Component, Profile, build};
pub use discovery::{JobCrate, discover};
pub use error::ForgeError;
pub use install::{Installed, install};
pub use name::JobName;
pub use scaffold::{Scaffold, SdkDependency, scaffold};
pub use toolchain::{Packages, Toolchain, Way};
