use clap::Args;

use super::{Failure, out};
use crate::runner::subject::catalogue;
use crate::runner::verdict::Exit;

/// Print the JSON Schema of scenario files, for editors
#[derive(Args)]
pub struct Schema {}

impl Schema {
    pub fn run(self) -> Result<Exit, Failure> {
        let schema = scenario::schema(&catalogue());
        out::line(serde_json::to_string_pretty(&schema).expect("a schema is JSON"))?;
        Ok(Exit::AsExpected)
    }
}
