//! The contract for the offline layers, which call no store.

use goat_tower::offline::VerifierExt;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::{Layer, Service};

use super::readiness::starves;
use super::{Case, broken_promises};
use crate::offline::Pair;
use crate::support::{EXPORTS, Probe, REPORTS, request, whoami};

#[tokio::test]
async fn offline_authentication_keeps_the_contract() {
    let Pair { issuer, verifier } = Pair::new();
    let alice = issuer.sign_in("alice", []).await;
    let case = Case {
        layer: verifier.authenticate(),
        allowed: Box::new(move || request(Some(&alice))),
        adds: &["cache-control"],
        rejected: Some(Box::new(|| request(None))),
        store: None,
    };
    assert_eq!(broken_promises(&case).await, []);
}

/// Rejected for a missing token, and for missing permissions.
#[tokio::test]
async fn an_offline_requirement_keeps_the_contract() {
    let Pair { issuer, verifier } = Pair::new();
    let alice = issuer.sign_in("alice", [REPORTS]).await;
    let bob = issuer.sign_in("bob", [EXPORTS]).await;
    for rejected in [None, Some(bob)] {
        let alice = alice.clone();
        let case = Case {
            layer: verifier.require(REPORTS),
            allowed: Box::new(move || request(Some(&alice))),
            adds: &["cache-control"],
            rejected: Some(Box::new(move || request(rejected.as_ref()))),
            store: None,
        };
        assert_eq!(broken_promises(&case).await, []);
    }
}

#[tokio::test]
async fn denials_do_not_starve_an_inner_concurrency_limit() {
    let verifier = Pair::new().verifier;
    let one = || GlobalConcurrencyLimitLayer::new(1).layer(Probe::default());
    let service = verifier.authenticate().layer(one());
    assert!(!starves(service.clone(), service).await);
    let service = verifier.require(REPORTS).layer(one());
    assert!(!starves(service.clone(), service).await);
}

#[test]
fn offline_layers_services_and_futures_are_send_and_static() {
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    fn sent<T: Send + 'static>(_: T) {}
    let verifier = Pair::new().verifier;
    let (authenticate, require) = (verifier.authenticate(), verifier.require(REPORTS));
    shared(&authenticate);
    shared(&require);
    sent(authenticate.layer(require.layer(whoami())).call(request(None)));
}
