//! Log warning for requirements that no token can satisfy, because tokens contain no permissions.

use std::sync::Arc;

use goat_core::Permission;
use goat_core::testing::TestGoat;
use goat_core::token::{TokenSettings, Verifier};
use goat_tower::offline::VerifierExt;
use tower::Layer;
use tracing::Level;

use crate::support::log::Log;
use crate::support::{REPORTS, request, send, whoami};

#[tokio::test]
async fn a_requirement_without_permissions_in_tokens_is_logged_once() {
    // Default settings: tokens contain no permissions.
    let issuer = TestGoat::new();
    let root = issuer.sign_in("root", [Permission::FULL_ACCESS]).await;
    let (jwks, clock) = (issuer.goat.jwks().to_string(), Arc::new(issuer.clock.clone()));
    let verifier = Verifier::with_clock(jwks, TokenSettings::default(), clock).unwrap();
    let log = Log::read();
    let layer = verifier.require(REPORTS);
    // A layer on several routes logs once.
    let routes = [layer.layer(whoami()), layer.clone().layer(whoami())];
    for route in routes.iter().cycle().take(6) {
        assert_eq!(send(route, request(Some(&root))).await.status, 403);
    }
    let [(level, line)] = log.take().try_into().unwrap();
    assert_eq!(level, Level::WARN, "{line}");
    assert!(line.contains("GOAT_ACCESS_TOKEN_PERMISSIONS=true"), "{line}");
    assert!(!line.contains(root.access_token()), "L1");
}
