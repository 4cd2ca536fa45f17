//! Compiles `proto/` without a system `protoc`.

use std::{env, path::PathBuf};

const PROTOS: &[&str] = &[
    "doorward/v1/decision.proto",
    "doorward/v1/directory.proto",
    "doorward/v1/revocation.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(PROTOS, ["proto"])?;
    let descriptor = PathBuf::from(env::var("OUT_DIR")?).join("doorward.bin");
    std::fs::write(descriptor, prost::Message::encode_to_vec(&files))?;
    tonic_prost_build::configure()
        .build_server(env::var_os("CARGO_FEATURE_SERVER").is_some())
        .build_client(env::var_os("CARGO_FEATURE_CLIENT").is_some())
        // What a message has few of costs less in order than hashed.
        .btree_map(".")
        // They hold credentials or facts about people; `proto` says what may be printed of them.
        .skip_debug([
            "doorward.v1.CheckRequest",
            "doorward.v1.CheckRequest.subject",
            "doorward.v1.CheckBatchRequest",
            "doorward.v1.CheckBatchRequest.subject",
            "doorward.v1.HttpQuestion",
            "doorward.v1.Seen",
            "doorward.v1.Flip",
            "doorward.v1.Fact",
        ])
        .compile_fds(files)?;
    Ok(())
}
