//! Whole stories and proofs: the deterministic simulation (`cargo simulate`), the crash loop
//! (`cargo crash`), and what the tests in `tests/` share.

pub mod golden;
pub mod model;
pub mod sim;
