//! Authentication methods: how a user proved their identity, and what assurance that gives.

use std::borrow::Cow;
use std::fmt;

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident, $bit:literal, $text:literal, $amr:expr;)*) => {
        /// A method by which a user authenticates.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Method {
            $($(#[$doc])* $name,)*
        }

        impl Method {
            /// All methods.
            pub const ALL: [Self; [$($bit),*].len()] = [$(Self::$name),*];

            /// Returns the name, as in the API.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The bit in a stored set, which never changes.
            const fn bit(self) -> u16 {
                match self {
                    $(Self::$name => $bit,)*
                }
            }

            /// The registered values of `amr` (RFC 8176 §2), in alphabetical order.
            const fn amr(self) -> &'static [&'static str] {
                match self {
                    $(Self::$name => $amr,)*
                }
            }
        }
    };
}

methods! {
    /// The account's password.
    Password, 1, "password", &["pwd"];
    /// A code or link sent to the account's e-mail address.
    EmailCode, 2, "email_code", &["otp"];
    /// A code of an authenticator app.
    Totp, 4, "totp", &["otp"];
    /// A recovery code.
    RecoveryCode, 8, "recovery_code", &["otp"];
    /// A security key, beside another method.
    SecurityKey, 16, "security_key", &["pop", "user"];
    /// A passkey that verified the user.
    Passkey, 32, "passkey", &["pop", "user"];
    /// An identity provider.
    Federated, 64, "federated", &[];
    /// The application's own check.
    Vouched, 128, "vouched", &[];
}

impl fmt::Display for Method {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A set of methods. A method of a later version of goat stays in it, unnamed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Methods(u16);

impl Methods {
    /// Returns the set of one method.
    #[must_use]
    pub const fn of(method: Method) -> Self {
        Self(method.bit())
    }

    /// Returns the set with another method.
    #[must_use]
    pub const fn with(self, method: Method) -> Self {
        Self(self.0 | method.bit())
    }

    /// Whether the set has a method.
    #[must_use]
    pub const fn contains(self, method: Method) -> bool {
        self.0 & method.bit() != 0
    }

    /// Returns the methods in the set.
    pub fn iter(self) -> impl Iterator<Item = Method> {
        Method::ALL.into_iter().filter(move |method| self.contains(*method))
    }

    /// Returns the set as a number, for a store.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Returns the set of a stored number.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// Returns the `amr` of an access token (RFC 9068 §2.2.1).
    pub(crate) fn amr(self, assurance: Assurance) -> Vec<String> {
        let mut values: Vec<&str> = self.iter().flat_map(Method::amr).copied().collect();
        if assurance == Assurance::Multi {
            values.push("mfa");
        }
        values.sort_unstable();
        values.dedup();
        values.into_iter().map(str::to_owned).collect()
    }
}

impl fmt::Debug for Methods {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.iter()).finish()
    }
}

/// The assurance of an authentication. It claims no level of NIST SP 800-63B.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Assurance {
    /// One factor.
    Single,
    /// Several factors: a first proof and a second factor, or a method that verifies several by itself.
    Multi,
}

impl Assurance {
    /// Both, in rising order.
    pub const ALL: [Self; 2] = [Self::Single, Self::Multi];

    /// Returns the name, as in the API and in the `acr` of access tokens.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Multi => "multi",
        }
    }

    /// Parses a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assurance| assurance.as_str() == text)
    }
}

impl fmt::Display for Assurance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The name of the method behind a proof, in events: 1–32 characters of `[a-z0-9-]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MethodName(Cow<'static, str>);

impl MethodName {
    /// Returns a name. In a constant, an invalid one does not compile.
    ///
    /// # Panics
    ///
    /// If the name is invalid.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        assert!(is_name(name), "the name of a method is 1-32 characters of a-z, 0-9 and -");
        Self(Cow::Borrowed(name))
    }

    /// Parses a name.
    ///
    /// # Errors
    ///
    /// The rule, phrased to follow the name of a field.
    pub fn parse(name: &str) -> Result<Self, &'static str> {
        if is_name(name) {
            Ok(Self(Cow::Owned(name.to_owned())))
        } else {
            Err("must be 1 to 32 lower-case letters, digits and hyphens")
        }
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Method> for MethodName {
    fn from(method: Method) -> Self {
        Self(Cow::Owned(method.as_str().replace('_', "-")))
    }
}

impl fmt::Display for MethodName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

const fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut place = 0;
    while place < bytes.len() {
        if !matches!(bytes[place], b'a'..=b'z' | b'0'..=b'9' | b'-') {
            return false;
        }
        place += 1;
    }
    0 < place && place <= 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_set_is_read_back_with_methods_of_a_later_version() {
        let later = Methods::from_bits(0b1_0000_0000).with(Method::Totp);
        assert_eq!(Methods::from_bits(later.bits()), later);
        assert_eq!(later.iter().collect::<Vec<_>>(), [Method::Totp]);
        let all = Method::ALL.into_iter().fold(Methods::default(), Methods::with);
        assert_eq!(all.bits(), 0xff, "one bit for each method");
        assert!(all.iter().eq(Method::ALL));
    }

    #[test]
    fn amr_has_the_registered_values_once() {
        let amr = |methods: &[Method], assurance| {
            let all = methods.iter().fold(Methods::default(), |set, method| set.with(*method));
            all.amr(assurance)
        };
        assert_eq!(amr(&[Method::Password], Assurance::Single), ["pwd"]);
        let several = [Method::Password, Method::Totp, Method::RecoveryCode];
        assert_eq!(amr(&several, Assurance::Multi), ["mfa", "otp", "pwd"]);
        assert_eq!(amr(&[Method::Passkey], Assurance::Multi), ["mfa", "pop", "user"]);
        assert_eq!(amr(&[Method::Vouched, Method::Federated], Assurance::Single), [""; 0]);
    }

    #[test]
    fn method_name_has_1_to_32_characters() {
        for name in ["ldap", "a", "smart-card-2", &"x".repeat(32)] {
            assert_eq!(MethodName::parse(name).map(|name| name.to_string()), Ok(name.to_owned()));
        }
        for name in ["", "LDAP", "a b", "a_b", "é", &"x".repeat(33)] {
            MethodName::parse(name).expect_err(name);
        }
        for method in Method::ALL {
            assert!(is_name(MethodName::from(method).as_str()), "{method}");
        }
    }
}
