//! Reading a spanned tree into types.

/// A table that is being read.
pub struct Table<'a> {
    path: &'a str,
}
