//! The log on sled: what it keeps, what it repairs, and what it refuses.
//! What a store makes of its records is `conformance`'s.

mod crash;
mod damage;
mod keeping;
mod notes;
mod release;
mod repair;
mod replacing;
mod samples;
mod unfinished;
