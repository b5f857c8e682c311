//! URL check: rejects unknown parameters, which the driver would ignore and log with their value. A
//! misspelt `sslmode` would mean no TLS.

use crate::error::{Error, Result};

/// The parameters that the driver supports.
const SUPPORTED: [&str; 17] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
];

/// Returns whether the URL allows cached prepared statements.
///
/// # Errors
///
/// Configuration, if the driver does not support a parameter.
pub(super) fn check(url: &str) -> Result<bool> {
    let mut caches_statements = true;
    let (_, parameters) = url.split_once('?').unwrap_or_default();
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if !SUPPORTED.contains(&name) && !name.starts_with("options") {
            // Without its name, which may be part of a password that is not URL-encoded.
            return Err(Error::configuration(
                "the PostgreSQL URL has an unknown parameter; supported are sslmode, sslrootcert, sslcert, sslkey, host, port, dbname, user, password, \
                 application_name, options and statement-cache-capacity",
            ));
        }
        caches_statements &= (name, value) != ("statement-cache-capacity", "0");
    }
    Ok(caches_statements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_parameter_is_rejected_and_not_shown() {
        for parameter in ["ssl_mode=canary", "sslmod=canary", "canary", "canary=1&sslmode=require"]
        {
            let error = check(&format!("postgres://a/b?{parameter}")).expect_err(parameter);
            assert!(!format!("{error:?} {error}").contains("canary"), "{error:?}");
        }
        for parameters in ["", "?", "?sslmode=require&options[search_path]=x&", "?options=-c%20a=b"]
        {
            assert!(check(&format!("postgres://a/b{parameters}")).expect("known"), "{parameters}");
        }
        assert!(!check("postgres://a/b?statement-cache-capacity=0").expect("known"));
        assert!(check("postgres://a/b?statement-cache-capacity=100").expect("known"));
    }
}
