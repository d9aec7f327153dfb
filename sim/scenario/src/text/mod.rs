//! From text to a tree that knows its places, and from mistakes back to text.

pub mod diagnostics;
pub mod nearest;
pub mod overrides;
pub mod path;
pub mod tree;
