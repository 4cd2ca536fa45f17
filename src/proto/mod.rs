//! Generated code, nothing else.

#[expect(clippy::allow_attributes, reason = "generated code has its own")]
#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated")]
pub mod v1 {
    tonic::include_proto!("doorward.v1");
}

/// The encoded descriptors of `proto/`, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/doorward.bin"));
