//! Requirements by method, checked when the service is built.

use ::tonic::server::NamedService;
use goat_core::Permission;
use goat_core::testing::TestGoat;
use prost::Message as _;
use prost_types::{
    FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto,
};

use crate::GoatExt as _;

const READ: Permission = Permission::new("report:read");

#[derive(Debug)]
struct Reports;

impl NamedService for Reports {
    const NAME: &'static str = "example.v1.Reports";
}

fn description(package: &str, methods: &[&str]) -> Vec<u8> {
    let method = |name: &&str| MethodDescriptorProto {
        name: Some((*name).to_owned()),
        ..MethodDescriptorProto::default()
    };
    let service = ServiceDescriptorProto {
        name: Some("Reports".to_owned()),
        method: methods.iter().map(method).collect(),
        options: None,
    };
    let file = FileDescriptorProto {
        package: Some(package.to_owned()),
        service: vec![service],
        ..FileDescriptorProto::default()
    };
    FileDescriptorSet { file: vec![file] }.encode_to_vec()
}

fn build(description: &[u8], methods: &[&'static str]) -> Result<(), String> {
    let goat = TestGoat::new().goat;
    let methods: Vec<_> = methods.iter().map(|method| (*method, READ)).collect();
    let built = goat.require_by_method(Reports, description, methods);
    built.map(drop).map_err(|error| error.to_string())
}

/// A misspelt method, and one without a requirement, are found when the service is built.
#[test]
fn methods_are_those_of_the_description() {
    let described = description("example.v1", &["List", "Audit"]);
    assert_eq!(build(&described, &["Audit", "List"]), Ok(()));
    for (methods, message) in [
        (&["List"][..], "no requirement for Audit"),
        (&["List", "Audit", "Lst"], "it has no method Lst"),
        (&["List", "list"], "it has no method list; no requirement for Audit"),
        (&["List", "Audit", "List"], "more than one requirement for List"),
    ] {
        let message = format!("requirements of example.v1.Reports: {message}");
        assert_eq!(build(&described, methods), Err(message));
    }
    let other = description("example", &["List"]);
    let message = "the description has no service example.v1.Reports".to_owned();
    assert_eq!(build(&other, &["List"]), Err(message));
    let error = build(b"no description", &["List"]).expect_err("no description");
    assert!(error.contains("is no file descriptor set"), "{error}");
}
