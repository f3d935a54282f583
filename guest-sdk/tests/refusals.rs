//! What `#[job]` and `#[payload]` refuse while compiling, and that each refusal points at what is wrong.
//! It leaves the types of a job to the compiler's own words.

#[test]
fn each_refusal_points_at_what_is_wrong() {
    trybuild::TestCases::new().compile_fail("tests/refusals/*.rs");
}
