//! Writes what tonic needs to serve and to call the services of the example `tonic`.
//!
//! Services are described here by hand, so that the examples build without `protoc`. With a `.proto`
//! file and `protoc` this whole file is `tonic_prost_build::compile_protos("reports.proto")`, and the
//! messages are written too; the rest of the example stays as it is.

use tonic_build::manual::{Builder, Method, MethodBuilder, Service};

/// A method: its name in Rust, its name on the wire, what it takes and what it gives. Messages are
/// found next to what is written here: `src/bin/tonic/api.rs`.
fn method(name: &str, route: &str, takes: &str, gives: &str) -> MethodBuilder {
    Method::builder()
        .name(name)
        .route_name(route)
        .input_type(format!("super::{takes}"))
        .output_type(format!("super::{gives}"))
        .codec_path("tonic_prost::ProstCodec")
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let accounts = Service::builder()
        .package("reports")
        .name("Accounts")
        .method(method("sign_up", "SignUp", "Credentials", "Nothing").build())
        .method(method("sign_in", "SignIn", "Credentials", "Tokens").build())
        .method(method("sign_out", "SignOut", "Nothing", "Nothing").build());
    let reports = Service::builder()
        .package("reports")
        .name("Reports")
        .method(method("list", "List", "Nothing", "Reports").build())
        .method(method("audit", "Audit", "Nothing", "Reports").build())
        .method(method("publish", "Publish", "Report", "Nothing").build())
        .method(method("follow", "Follow", "Nothing", "Report").server_streaming().build());
    // `build_transport` would give each client a `connect` of its own, which the server has no use
    // for; a client is made over a channel all the same.
    Builder::new().build_transport(false).compile(&[accounts.build(), reports.build()]);
}
