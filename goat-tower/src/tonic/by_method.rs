//! A requirement for each method of a gRPC service.
//!
//! Invariants: each method of the description has a requirement, and each requirement a method of the
//! description, so that no method is public by accident or by a misspelt name. A method that is not in
//! the description is rejected.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as StdError;
use std::fmt;

use ::tonic::server::NamedService;
use goat_core::{ErrorKind, Goat};
use http::request::Parts;
use prost::Message as _;
use prost_types::FileDescriptorSet;

use crate::guard::{Check, Guard, Guarded, Outcome, Rejection, ResponseHeaders};
use crate::require::{Pending, RequireLayer, Requirement};
use crate::response::denial::{Denial, ProblemDetails, RenderDenial};

/// The guard of a service made by [`require_by_method`](crate::GoatExt::require_by_method).
#[derive(Debug)]
pub struct RequireByMethod {
    /// The start of the path: `/reports.Reports/`.
    prefix: String,
    methods: BTreeMap<String, RequireLayer>,
}

/// The methods of a service and those with a requirement differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidMethods {
    service: &'static str,
    fault: Fault,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    Description(String),
    Service,
    Methods { unknown: Vec<String>, missing: Vec<String>, repeated: Vec<String> },
}

impl RequireByMethod {
    /// Puts the service behind the requirements.
    pub(crate) fn guard<S: NamedService>(
        service: S,
        goat: &Goat,
        description: &[u8],
        requirements: Vec<(String, Requirement)>,
    ) -> Result<Guarded<S, Self>, InvalidMethods> {
        let invalid = |fault| InvalidMethods { service: S::NAME, fault };
        let described = methods_of(S::NAME, description).map_err(invalid)?;
        let (mut methods, mut repeated) = (BTreeMap::new(), Vec::new());
        for (method, requirement) in requirements {
            let layer = RequireLayer::new(goat.clone(), &requirement);
            if methods.insert(method.clone(), layer).is_some() {
                repeated.push(method);
            }
        }
        let unknown = methods.keys().filter(|method| !described.contains(*method)).cloned();
        let missing = described.iter().filter(|method| !methods.contains_key(*method)).cloned();
        let (unknown, missing): (Vec<_>, Vec<_>) = (unknown.collect(), missing.collect());
        if !unknown.is_empty() || !missing.is_empty() || !repeated.is_empty() {
            return Err(invalid(Fault::Methods { unknown, missing, repeated }));
        }
        Ok(Guarded::new(service, Self { prefix: format!("/{}/", S::NAME), methods }))
    }

    fn layer_of(&self, request: &Parts) -> Result<&RequireLayer, Rejection<'_>> {
        static RENDERER: &dyn RenderDenial = &ProblemDetails;
        let method = request.uri.path().strip_prefix(&self.prefix);
        let layer = method.and_then(|method| self.methods.get(method));
        layer.ok_or_else(|| Rejection::new(Denial::new(ErrorKind::NotFound.into()), RENDERER))
    }
}

/// Returns the names of a service's methods, from a description of files.
fn methods_of(service: &str, description: &[u8]) -> Result<BTreeSet<String>, Fault> {
    let files = FileDescriptorSet::decode(description);
    let files = files.map_err(|error| Fault::Description(error.to_string()))?;
    let found = files.file.iter().find_map(|file| {
        file.service.iter().find(|found| match file.package() {
            "" => found.name() == service,
            package => service
                .strip_prefix(package)
                .and_then(|rest| rest.strip_prefix('.'))
                .is_some_and(|name| name == found.name()),
        })
    });
    let found = found.ok_or(Fault::Service)?;
    Ok(found.method.iter().map(|method| method.name().to_owned()).collect())
}

impl Guard for RequireByMethod {
    type Pending = Pending<Goat>;

    fn check(
        &self,
        request: &mut Parts,
        headers: &mut ResponseHeaders,
    ) -> Result<Check<Self::Pending>, Rejection<'_>> {
        self.layer_of(request)?.check(request, headers)
    }

    fn decide(
        &self,
        request: &mut Parts,
        headers: &mut ResponseHeaders,
        outcome: Outcome<Self>,
    ) -> Result<Check<Self::Pending>, Rejection<'_>> {
        self.layer_of(request)?.decide(request, headers, outcome)
    }
}

impl fmt::Display for InvalidMethods {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, fault } = self;
        match fault {
            Fault::Description(error) => {
                write!(formatter, "the description of {service} is no file descriptor set: {error}")
            }
            Fault::Service => write!(formatter, "the description has no service {service}"),
            Fault::Methods { unknown, missing, repeated } => {
                write!(formatter, "requirements of {service}:")?;
                let mut separator = " ";
                for (names, text) in [
                    (unknown, "it has no method"),
                    (missing, "no requirement for"),
                    (repeated, "more than one requirement for"),
                ] {
                    if !names.is_empty() {
                        write!(formatter, "{separator}{text} {}", names.join(", "))?;
                        separator = "; ";
                    }
                }
                Ok(())
            }
        }
    }
}

impl StdError for InvalidMethods {}
