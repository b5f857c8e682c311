//! Generates the tonic servers and clients for the example `tonic`.
//!
//! The services are described by hand, so that the examples build without `protoc`. With a `.proto`
//! file and `protoc`, this whole file is `tonic_prost_build::compile_protos("reports.proto")`,
//! which generates the messages too; the rest of the example stays the same.

use tonic_build::manual::{Builder, Method, MethodBuilder, Service};

/// Describes a method: its names in Rust and on the wire, and its message types, which are defined
/// in `src/bin/tonic/api.rs`.
fn method(name: &str, route: &str, input: &str, output: &str) -> MethodBuilder {
    Method::builder()
        .name(name)
        .route_name(route)
        .input_type(format!("super::{input}"))
        .output_type(format!("super::{output}"))
        .codec_path("tonic_prost::ProstCodec")
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let accounts = Service::builder()
        .package("reports")
        .name("Accounts")
        .method(method("sign_up", "SignUp", "Credentials", "Empty").build())
        .method(method("sign_in", "SignIn", "Credentials", "Tokens").build())
        .method(method("sign_out", "SignOut", "Empty", "Empty").build());
    let reports = Service::builder()
        .package("reports")
        .name("Reports")
        .method(method("list", "List", "Empty", "Reports").build())
        .method(method("audit", "Audit", "Empty", "Reports").build())
        .method(method("publish", "Publish", "Report", "Empty").build())
        .method(method("follow", "Follow", "Empty", "Report").server_streaming().build());
    // `build_transport` would generate a `connect` function for each client. The server does not
    // need it, and clients can be created from a channel.
    Builder::new().build_transport(false).compile(&[accounts.build(), reports.build()]);
}
