//! Conversions between contract messages and `model` value types.
