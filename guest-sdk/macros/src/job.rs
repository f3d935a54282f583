//! Expands `#[job]`: a type named like the function that implements `Job`, and for WebAssembly the component's export.
//! It checks the function's shape; whether its types fit, the compiler says at the function itself.

use crate::arguments::{Arguments, job_id, optional, optional_text};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, FnArg, ItemFn, Lit, LitStr, Meta, Result, ReturnType, Type};

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let arguments = Arguments::parse(arguments)?;
    let function: ItemFn = syn::parse2(item)?;
    let payload = payload_type(&function)?;
    let returned = return_type(&function)?;
    let name = &function.sig.ident;
    let visibility = &function.vis;
    let documentation = function.attrs.iter().filter(|attribute| attribute.path().is_ident("doc"));
    let descriptor = descriptor(&arguments, &function, payload)?;
    // With these spans a payload or an output of the wrong type is reported where the function says it.
    let read = quote_spanned!(payload.span()=> ::jobmill_sdk::macro_support::parse::<#payload>(payload)?);
    let write = quote_spanned!(returned.span()=> ::jobmill_sdk::macro_support::output(result));

    Ok(quote! {
        #(#documentation)*
        // Named like the function so that a test reads `host.run(welcome_email, …)`; outside of tests only the export uses it.
        #[allow(non_camel_case_types, dead_code)]
        #[derive(Clone, Copy, Debug)]
        #visibility struct #name;

        const _: () = {
            // Every job has this shape, also one that only reads its payload or never fails.
            #[allow(clippy::needless_pass_by_value, clippy::unnecessary_wraps)]
            #function

            impl ::jobmill_sdk::Job for #name {
                fn descriptor() -> ::jobmill_sdk::Descriptor {
                    #descriptor
                }

                fn perform(
                    context: &::jobmill_sdk::Context,
                    payload: &str,
                ) -> ::core::result::Result<::core::option::Option<::std::string::String>, ::jobmill_sdk::Failure> {
                    let result = #name(context, #read);
                    #write
                }
            }

            #[cfg(target_family = "wasm")]
            mod component {
                type Job = ::jobmill_sdk::macro_support::Component<super::#name>;
                ::jobmill_sdk::macro_support::bindings::export!(
                    Job with_types_in ::jobmill_sdk::macro_support::bindings
                );
            }
        };
    })
}

fn descriptor(arguments: &Arguments, function: &ItemFn, payload: &Type) -> Result<TokenStream> {
    let name = &function.sig.ident;
    let id = match &arguments.id {
        Some(id) => id.clone(),
        None => job_id(LitStr::new(&name.to_string().replace('_', "-"), name.span()))?,
    };
    let title = arguments.title.clone().unwrap_or_else(|| LitStr::new(&words(&id.value()), id.span()));
    let description = optional_text(documentation(&function.attrs).as_ref());
    let triggers = &arguments.triggers;
    let queue = optional_text(arguments.queue.as_ref());
    let priority = optional(arguments.priority.as_ref());
    let retries = optional(arguments.retries.as_ref());
    let backoff = optional(arguments.backoff.as_ref());
    let timeout = optional(arguments.timeout.as_ref());
    let concurrency = &arguments.concurrency;
    let rate_limit = optional(arguments.rate_limit.as_ref());
    let debounce = optional(arguments.debounce.as_ref());
    let unique_key = optional_text(arguments.unique_key.as_ref());
    let unique_for = optional(arguments.unique_for.as_ref());
    let example = optional_text(arguments.example.as_ref());
    let schema = quote_spanned!(payload.span()=> ::jobmill_sdk::macro_support::schema::<#payload>());
    Ok(quote! {
        ::jobmill_sdk::Descriptor {
            id: #id.to_owned(),
            title: #title.to_owned(),
            description: #description,
            triggers: ::std::vec![#(#triggers),*],
            queue: #queue,
            priority: #priority,
            retries: #retries,
            backoff: #backoff,
            timeout: #timeout,
            concurrency: ::std::vec![#(#concurrency),*],
            rate_limit: #rate_limit,
            debounce: #debounce,
            unique_key: #unique_key,
            unique_for: #unique_for,
            payload_schema: ::core::option::Option::Some(#schema),
            payload_example: #example,
        }
    })
}

fn payload_type(function: &ItemFn) -> Result<&Type> {
    let signature = &function.sig;
    if let Some(asyncness) = &signature.asyncness {
        return Err(Error::new_spanned(
            asyncness,
            "a job is a plain function: the engine runs many at once, none has to yield",
        ));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new_spanned(&signature.generics, "a job takes no generic parameters"));
    }
    let mut parameters = signature.inputs.iter();
    let (Some(FnArg::Typed(_)), Some(FnArg::Typed(payload)), None) =
        (parameters.next(), parameters.next(), parameters.next())
    else {
        let message = "a job takes two parameters: `context: &Context, payload: YourPayload`";
        return Err(Error::new_spanned(&signature.inputs, message));
    };
    if let Type::Reference(reference) = &*payload.ty {
        return Err(Error::new_spanned(reference, "a job owns its payload: take it by value, without `&`"));
    }
    Ok(&payload.ty)
}

fn return_type(function: &ItemFn) -> Result<&Type> {
    match &function.sig.output {
        ReturnType::Type(_, returned) => Ok(returned),
        ReturnType::Default => {
            let message = "a job returns `Result<Output, Failure>`; `Result<(), Failure>` when it has no output";
            Err(Error::new_spanned(&function.sig.ident, message))
        }
    }
}

/// The doc comment as one text, lines of a paragraph joined.
fn documentation(attributes: &[Attribute]) -> Option<LitStr> {
    let lines: Vec<LitStr> = attributes.iter().filter_map(doc_line).collect();
    let mut text = String::new();
    for line in &lines {
        let line = line.value();
        let line = line.trim();
        match (line.is_empty(), text.is_empty() || text.ends_with('\n')) {
            (true, true) => {}
            (true, false) => text.push_str("\n\n"),
            (false, true) => text.push_str(line),
            (false, false) => {
                text.push(' ');
                text.push_str(line);
            }
        }
    }
    let text = text.trim_end();
    let first = lines.first()?;
    (!text.is_empty()).then(|| LitStr::new(text, first.span()))
}

fn doc_line(attribute: &Attribute) -> Option<LitStr> {
    let Meta::NameValue(pair) = &attribute.meta else {
        return None;
    };
    if !pair.path.is_ident("doc") {
        return None;
    }
    match &pair.value {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// `welcome-email` as `Welcome email`.
fn words(id: &str) -> String {
    let mut letters = id.chars().map(|letter| if letter == '-' { ' ' } else { letter });
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
