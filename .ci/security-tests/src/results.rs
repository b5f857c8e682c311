//! The results of tests, read from the output of `cargo test`.

use std::collections::BTreeMap;

/// Results by the test binary and the test's path in it.
#[derive(Default)]
pub(crate) struct Results(BTreeMap<(String, String), bool>);

impl Results {
    /// Adds the results in an output of `cargo test`, standard error included.
    pub(crate) fn read(&mut self, output: &str) {
        let mut binary = String::new();
        for line in output.lines() {
            let line = line.trim();
            if let Some(running) = line.strip_prefix("Running ") {
                binary = name_of(running).unwrap_or_default();
            } else if line.starts_with("Doc-tests ") {
                binary.clear();
            } else if let Some((path, result)) =
                line.strip_prefix("test ").and_then(|line| line.split_once(" ... "))
                && !binary.is_empty()
            {
                let passed = result == "ok";
                let path = path.trim_end_matches(" - should panic").to_owned();
                // A binary may run twice, with other features: each run must pass.
                *self.0.entry((binary.clone(), path)).or_insert(true) &= passed;
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the results of a function of a module: one for each backend that a macro runs it on.
    pub(crate) fn of(&self, binary: &str, module: &[String], function: &str) -> Vec<bool> {
        let of_function = |path: &str| {
            let segments: Vec<&str> = path.split("::").collect();
            segments.len() > module.len()
                && segments.iter().zip(module).all(|(one, other)| one == other)
                && segments[module.len()..].contains(&function)
        };
        let results = self.0.iter().filter(|((of, path), _)| of == binary && of_function(path));
        results.map(|(_, passed)| *passed).collect()
    }
}

/// Returns the binary's name: of `tests/api/main.rs (target/debug/deps/api-0123456789abcdef)`, `api`.
fn name_of(running: &str) -> Option<String> {
    let path = running.rsplit_once('(')?.1.strip_suffix(')')?;
    let (name, _hash) = path.rsplit('/').next()?.rsplit_once('-')?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_found_by_binary_module_and_function() {
        let mut results = Results::default();
        results.read(
            "     Running unittests src/lib.rs (target/debug/deps/goat_core-01ab)\n\
             running 3 tests\n\
             test token::tests::one ... ok\n\
             test token::tests::other ... FAILED\n\
             test token::tests::slow has been running for over 60 seconds\n\
             test token::tests::panics - should panic ... ok\n\
             \x20    Running tests/api/main.rs (target/debug/deps/api-23cd)\n\
             test user::list::one::sqlite ... ok\n\
             test user::list::one::postgres_and_redis ... ok\n\
             test user::redis::one ... ok\n\
             \x20  Doc-tests goat_core\n\
             test goat-core/src/lib.rs - (line 3) ... ok\n",
        );
        let of = |binary, module: &[&str], function| {
            let module: Vec<String> = module.iter().map(|&name| name.to_owned()).collect();
            results.of(binary, &module, function)
        };
        assert_eq!(of("goat_core", &["token", "tests"], "one"), [true]);
        assert_eq!(of("goat_core", &["token", "tests"], "other"), [false]);
        assert_eq!(of("goat_core", &["token", "tests"], "panics"), [true]);
        assert_eq!(of("api", &["user", "list"], "one"), [true, true]);
        assert_eq!(of("api", &["user"], "one"), [true, true, true]);
        assert!(of("goat_core", &["token"], "slow").is_empty());
        assert!(of("api", &["token", "tests"], "one").is_empty());
    }
}
