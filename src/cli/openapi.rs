//! `ranq openapi`

use clap::Args;

use super::Outcome;
use crate::http::Document;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// As OpenAPI 3.0.3, for generators that know no newer version.
    #[arg(long)]
    v3_0: bool,
}

pub(super) fn print(options: &Options) -> Outcome {
    let document = Document::new();
    print!("{}", if options.v3_0 { document.json_3_0() } else { document.json() });
    Ok(())
}
