//! reference_data
