//! Hashes of other systems: adopted users sign in, and the time of an attempt tells nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use goat_core::ErrorKind;
use goat_core::password::ForeignHashes;
use goat_core::testing::HasherCall;

use crate::flows::support::{
    Backend, Harness, OTHER_PASSWORD, Outcome, PASSWORD, address, login, on_every_store,
};

/// Hashes of [`PASSWORD`] by Python's bcrypt, Django, passlib and argon2-cffi.
const FOREIGN: [(&str, &str); 5] = [
    ("bcrypt", "$2b$04$UVyD6z76wc/qhZdc7PnMh.eYpVPbHUfBPZIiNostKZcSs2X6tasr6"),
    (
        "django",
        "pbkdf2_sha256$1000$yzbxDADM5AM1FpdmtbzJUU$zbuVD48d5bQOY3PcbGE1x1/R4M9/t73UXGRmTrALE64=",
    ),
    (
        "pbkdf2",
        "$pbkdf2-sha256$i=1000,l=32$c29tZXNhbHRzb21lc2FsdA$RnbboVGtm32YiMkkIwLRQTzTVv2p/ZrFkiZNFxk7FGQ",
    ),
    (
        "scrypt",
        "$scrypt$ln=4,r=8,p=1$ag0hhNCaU4rROudcSynlfA$leDelLoNNjMxEM10nviWgwjTypHq8O1u+JmCF779ps8",
    ),
    (
        "argon2i",
        "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$+QPKqIg5/tgEfDYK4DV2nhb4onHtLJX7TkbxLwJb63Q",
    ),
];
const BCRYPT_6: &str = "$2b$06$tYlpReq984Bz/zqhxFes5uFJav8/U53PQPaILq11vAh3k.kItdwi6";

fn hasher_of(harness: &Harness) -> Arc<ForeignHashes> {
    Arc::new(ForeignHashes::new(Arc::new(harness.hasher.clone())))
}

/// P6: the first login replaces the hash by goat's own; a wrong password replaces nothing.
async fn adopted_users_sign_in_and_are_rehashed(backend: Backend) {
    let harness = Harness::on(backend);
    let goat = harness.node_with_hasher(hasher_of(&harness));
    let mut users = Vec::new();
    for (name, hash) in FOREIGN {
        let id = harness.user(name, "client").await.id;
        harness.store_hash(id, hash).await;
        users.push((name, hash, id));
    }
    goat.prepare().await.expect("every sampled hash can be verified");
    for (name, hash, id) in users {
        let stored = async || {
            let account = harness.stores.users.by_id(id).await.expect("the store responds");
            account.expect("the user").password_hash.expose().clone()
        };
        let wrong = login(&goat, address(name), OTHER_PASSWORD).await;
        assert_eq!(wrong.kind(), Some(ErrorKind::InvalidCredentials), "{name}");
        assert_eq!(stored().await, hash, "{name}");
        login(&goat, address(name), PASSWORD).await.expect("a session");
        let rehashed = stored().await;
        assert!(rehashed.starts_with("plain$"), "{name}: {rehashed}");
        login(&goat, address(name), PASSWORD).await.expect("a session");
        assert_eq!(stored().await, rehashed, "{name}: it is current");
    }
}

/// E4: by count of work, an unknown address costs as much as the dearest hash in use, and so does every
/// other account: one rehashed already, and one with a cheaper hash. From the first attempt on, since the
/// start samples the stored hashes.
async fn an_unknown_address_costs_as_much_as_the_dearest_scheme_in_use(backend: Backend) {
    let harness = Harness::on(backend);
    let hasher = hasher_of(&harness);
    let goat = harness.node_with_hasher(hasher.clone());
    harness.user("own", "client").await;
    for (name, hash) in [("cheap", FOREIGN[0].1), ("dear", BCRYPT_6), ("django", FOREIGN[1].1)] {
        let id = harness.user(name, "client").await.id;
        harness.store_hash(id, hash).await;
    }
    goat.prepare().await.expect("ready");
    let work = BTreeMap::from([("bcrypt", 64), ("pbkdf2-sha256", 1000)]);
    for name in ["unknown", "own", "cheap", "dear", "django", "unknown"] {
        for password in ["wrong", "", "a\0b"] {
            drop((harness.hasher.take_calls(), hasher.take_work()));
            let wrong = login(&goat, address(name), password).await;
            assert_eq!(wrong.kind(), Some(ErrorKind::InvalidCredentials), "{name}");
            let calls = harness.hasher.take_calls();
            assert!(matches!(calls[..], [HasherCall::Verify { .. }]), "{name}: {calls:?}");
            assert_eq!(hasher.take_work(), work, "{name}");
        }
    }
}

/// E4: without foreign hashes, an attempt costs one verification of goat's own.
async fn without_foreign_hashes_an_attempt_costs_nothing_more(backend: Backend) {
    let harness = Harness::on(backend);
    let hasher = hasher_of(&harness);
    let goat = harness.node_with_hasher(hasher.clone());
    harness.user("own", "client").await;
    goat.prepare().await.expect("ready");
    for name in ["unknown", "own"] {
        drop(harness.hasher.take_calls());
        assert!(login(&goat, address(name), "wrong").await.is_err());
        assert_eq!((harness.hasher.verifications(), hasher.take_work().len()), (1, 0), "{name}");
    }
}

on_every_store![
    adopted_users_sign_in_and_are_rehashed,
    an_unknown_address_costs_as_much_as_the_dearest_scheme_in_use,
    without_foreign_hashes_an_attempt_costs_nothing_more,
];
