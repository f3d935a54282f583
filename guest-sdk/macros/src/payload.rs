//! Expands `#[payload]`: the derives and their settings, so that a job needs no serde of its own.
//! It adds no code beside them.

use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

pub(crate) fn expand(arguments: &TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(syn::Error::new_spanned(arguments, "`#[payload]` takes no arguments"));
    }
    let item: DeriveInput = syn::parse2(item)?;
    let fields_of_variants = match item.data {
        syn::Data::Enum(_) => Some(quote!(, rename_all_fields = "camelCase")),
        syn::Data::Struct(_) | syn::Data::Union(_) => None,
    };
    Ok(quote! {
        #[derive(::jobmill_sdk::serde::Deserialize, ::jobmill_sdk::schemars::JsonSchema)]
        #[serde(crate = "::jobmill_sdk::serde", rename_all = "camelCase" #fields_of_variants)]
        #[schemars(crate = "::jobmill_sdk::schemars")]
        #item
    })
}
