//! The built components as bytes. `build.rs` makes them from `guest/component`.

/// The `core` component: decides, imports nothing.
pub static CORE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/core.wasm"));

/// The `engine` component: core and driver behind the doors of `wit/engine.wit`.
pub static ENGINE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/engine.wasm"));
