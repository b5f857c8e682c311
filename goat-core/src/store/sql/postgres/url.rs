//! The URL's parameters, before the driver reads them: it passes over what it does not know, which
//! for a misspelt `sslmode` means no TLS, and writes the value to the log.

use crate::error::{Error, Result};

/// What the driver understands.
const KNOWN: [&str; 17] = [
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

/// Answers whether the URL lets connections keep statements.
///
/// # Errors
///
/// Configuration, if there is a parameter that the driver does not know.
pub(super) fn check(url: &str) -> Result<bool> {
    let mut keeps_statements = true;
    let (_, parameters) = url.split_once('?').unwrap_or_default();
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if !KNOWN.contains(&name) && !name.starts_with("options") {
            // Its name may be a piece of a password that was not written as a URL wants it.
            return Err(Error::configuration(
                "the URL of the PostgreSQL database has a parameter that is not known; \
                 known are sslmode, sslrootcert, sslcert, sslkey, host, port, dbname, user, password, \
                 application_name, options and statement-cache-capacity",
            ));
        }
        keeps_statements &= (name, value) != ("statement-cache-capacity", "0");
    }
    Ok(keeps_statements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_would_be_passed_over_is_refused_without_being_shown() {
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
