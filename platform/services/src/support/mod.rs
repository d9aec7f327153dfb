//! What more than one service needs: reading contract texts, request headers and bodies.
//!
//! **Architecture invariant:** no business rules. A rule that two services share belongs to `model`.

pub mod body;
pub mod contract;
pub mod gate;
pub mod gateway;
pub mod request;
mod strict_json;

pub use body::Fields;
pub use request::Path;
