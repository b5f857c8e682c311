//! Mail in tests: the letters of an app, and the bodies that answer them.

use std::time::Duration;

use goat_core::courier::{Letter, OneTimeSecret};
use goat_core::{ErrorKind, UserId};
use serde_json::{Value, json};

use goat_core::store::{UserChange, UserSnapshot, UserWrite};
use goat_core::user::Account;

use super::app::{TestApp, TestResponse};

impl TestApp {
    /// Waits for a letter to an address with a message of this name; earlier letters are forgotten.
    pub(crate) async fn letter(&self, to: &str, name: &str) -> Letter {
        let letters = &self.letters;
        let found = async {
            loop {
                let letter = letters.next_to(to).await;
                if letter.message.name() == name {
                    return letter;
                }
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(10), found).await;
        found.unwrap_or_else(|_| panic!("no letter {name} to {to}"))
    }

    /// Changes a user's row, past goat.
    pub(crate) async fn edit(&self, id: UserId, edit: impl Fn(&mut Account) + Sync) {
        let decide = |snapshot: &UserSnapshot| {
            let mut account = snapshot.target.clone().ok_or(ErrorKind::NotFound)?;
            edit(&mut account);
            Ok(UserChange::Put(account))
        };
        let top_role = &self.goat.roles().get("admin").unwrap();
        let (actor, key, target, assigns) = (None, None, id, None);
        let write = UserWrite { actor, key, target, top_role, assigns, decide: &decide };
        self.stores.stores.users.write(write).await.unwrap();
        self.goat.users().invalidate(id).await;
    }
}

fn secret(letter: &Letter) -> &OneTimeSecret {
    letter.message.secret().unwrap_or_else(|| panic!("{} has no secret", letter.message.name()))
}

/// The answer by the link of a letter.
pub(crate) fn by_link(letter: &Letter) -> Value {
    json!({"token": secret(letter).link.text().expose()})
}

/// The answer by the code of a letter, with the challenge of the request that sent it.
pub(crate) fn by_code(sent: &TestResponse, letter: &Letter) -> Value {
    let code = secret(letter).code.as_ref().unwrap().text().expose();
    json!({"challenge": sent.data()["challenge"], "code": code})
}

/// A wrong answer of the right form by code.
pub(crate) fn wrong_code(sent: &TestResponse) -> Value {
    json!({"challenge": sent.data()["challenge"], "code": "00000000"})
}

/// An object with further members.
pub(crate) fn with(object: &Value, members: &Value) -> Value {
    let mut object = object.clone();
    for (name, value) in members.as_object().unwrap() {
        object[name] = value.clone();
    }
    object
}
