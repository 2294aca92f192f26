//! The filter as it is, with its feature `trap`.
#![allow(missing_docs)]

pub use firn_envoy_filter as filter;
