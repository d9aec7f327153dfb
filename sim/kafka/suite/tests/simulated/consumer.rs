//! The simulated consumer behind the suite's trait.

use std::rc::Rc;

use kafka_suite::{ClientError, Consumer, Settings};

use crate::producer::refuse;
use crate::world::Handle;

pub fn create(_: &Handle, _: Settings<'_>) -> Result<Rc<dyn Consumer>, ClientError> {
    Err(refuse("_NOT_IMPLEMENTED"))
}
