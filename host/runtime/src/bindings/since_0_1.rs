//! Version 0.1 of the world `jobmill:job/job`.
//! Compatible later versions (0.1.x) are added here; an incompatible one gets a module of its own.

/// The interfaces' version, as it stands in their names.
pub(crate) const VERSION: &str = "0.1.0";

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "job",
    imports: { default: async | trappable },
    exports: { default: async },
    trappable_error_type: {
        "jobmill:job/orders.order-error" => crate::capability::orders::OrderRefusal,
        "jobmill:job/email.email-error" => crate::capability::email::EmailRefusal,
        "jobmill:job/steps.step-error" => crate::capability::steps::StepRefusal,
    },
});
