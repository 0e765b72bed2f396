//! Amazon Route 53.
