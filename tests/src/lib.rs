//! Whole stories with the real parts: golden transcripts in every host, the crash loop
//! (`cargo crash`), the components beside the driver. Proofs that need no host are in `laws/`.

pub mod golden;
pub mod process;
pub mod sample;
pub mod tools;
pub mod upstream;
