//! Generates the messages, servers and clients of the example `tonic` from `proto/reports.proto`, and the
//! description of its services, which `require_by_method` reads.
//!
//! `protox` compiles the file, so that no `protoc` is needed.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["reports.proto"], ["proto"])?;
    let description = PathBuf::from(env::var("OUT_DIR")?).join("reports.bin");
    fs::write(description, prost::Message::encode_to_vec(&files))?;
    // Messages with secrets have no `Debug`, so they cannot be logged.
    tonic_prost_build::configure()
        .skip_debug(["reports.Credentials", "reports.Tokens"])
        .build_transport(false)
        .compile_fds(files)?;
    Ok(())
}
