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

/// The values of `sslmode`.
const MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

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
            let named = printable_name(parameters, parameter)
                .map_or_else(String::new, |name| format!(" {name}"));
            return Err(Error::configuration(format!(
                "the PostgreSQL URL has an unknown parameter{named}; supported are sslmode, sslrootcert, \
                 sslcert, sslkey, host, port, dbname, user, password, application_name, options and \
                 statement-cache-capacity"
            )));
        }
        let is_mode = matches!(name, "sslmode" | "ssl-mode");
        if is_mode && !MODES.iter().any(|mode| mode.eq_ignore_ascii_case(value)) {
            return Err(Error::configuration(
                "the parameter sslmode of the PostgreSQL URL is none of disable, allow, prefer, require, \
                 verify-ca and verify-full",
            ));
        }
        caches_statements &= (name, value) != ("statement-cache-capacity", "0");
    }
    Ok(caches_statements)
}

/// Returns the name of a parameter, unless it may be a part of the password: a password that is not
/// URL-encoded may contain `?` and `&`, and ends at the `@`.
fn printable_name<'a>(parameters: &str, parameter: &'a str) -> Option<&'a str> {
    const LONGEST: usize = 40;
    let (name, _) = parameter.split_once('=')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let is_printable = name.len() <= LONGEST && name.chars().all(is_name);
    (is_printable && !parameters.contains('@')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_ssl_mode_is_rejected_and_not_shown() {
        for mode in ["canary", "", "verify_full"] {
            let error = check(&format!("postgres://a/b?sslmode={mode}")).expect_err(mode);
            assert!(error.to_string().contains("none of disable, allow"), "{error}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        check("postgres://a/b?sslmode=verify-full&sslrootcert=x").expect("a mode");
    }

    #[test]
    fn unknown_parameter_is_rejected_and_named_without_its_value() {
        for (url, named) in [
            ("postgres://a/b?ssl_mode=canary", Some("ssl_mode")),
            ("postgres://a/b?sslmode=require&sslmod=canary", Some("sslmod")),
            ("postgres://a/b?canary", None),
            ("postgres://u:a?canary=b@a/b", None),
            ("postgres://u:a?b&canary=b@a/b?sslmode=require", None),
            ("postgres://a/b?c%20canary=1", None),
        ] {
            let error = check(url).expect_err(url);
            assert!(!format!("{error:?} {error}").contains("canary"), "{error:?}");
            let expected =
                named.map_or_else(|| "parameter;".to_owned(), |name| format!("parameter {name};"));
            assert!(error.to_string().contains(&expected), "{error}");
        }
        for parameters in ["", "?", "?sslmode=require&options[search_path]=x&", "?options=-c%20a=b"]
        {
            assert!(check(&format!("postgres://a/b{parameters}")).expect("known"), "{parameters}");
        }
        assert!(!check("postgres://a/b?statement-cache-capacity=0").expect("known"));
        assert!(check("postgres://a/b?statement-cache-capacity=100").expect("known"));
    }
}
