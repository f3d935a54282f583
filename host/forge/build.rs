//! Tells cargo to build anew when a file is added to the sources that the binary carries.
//! It generates nothing.

fn main() {
    for directory in ["../../guest-sdk/src", "../../guest-sdk/macros/src", "../../guest-sdk/wit", "../../wit"] {
        println!("cargo::rerun-if-changed={directory}");
    }
}
