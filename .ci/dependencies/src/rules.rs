//! The rules: the lists of `deny.toml`, one item a line.

/// The rules that this program applies. The sources are fixed: crates.io only.
pub(crate) struct Rules {
    pub(crate) licences: Vec<String>,
    pub(crate) skipped: Vec<Skip>,
}

/// An accepted duplicate.
pub(crate) struct Skip {
    pub(crate) name: String,
    /// The beginning of its version: `0.22` covers `0.22.1`.
    version: String,
}

impl Skip {
    pub(crate) fn covers(&self, version: &str) -> bool {
        version
            .strip_prefix(&self.version)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

impl Rules {
    /// # Errors
    ///
    /// Names a duplicate that is accepted without a reason or a version.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut rules = Self { licences: Vec::new(), skipped: Vec::new() };
        let mut list = "";
        for line in text.lines().map(str::trim) {
            if let Some((name, "[")) = line.split_once(" = ") {
                list = name;
            } else if line == "]" {
                list = "";
            } else if list == "allow" {
                rules.licences.extend(quoted(line).map(str::to_owned));
            } else if list == "skip" && line.starts_with('{') {
                let parts: Vec<&str> = line.split('"').collect();
                let [_, package, ", reason = ", reason, _] = parts[..] else {
                    return Err(format!("no crate with a reason: {line}"));
                };
                let Some((name, version)) = package.split_once('@').filter(|_| !reason.is_empty())
                else {
                    return Err(format!("no version or no reason: {line}"));
                };
                let (name, version) = (name.to_owned(), version.to_owned());
                rules.skipped.push(Skip { name, version });
            }
        }
        Ok(rules)
    }

    pub(crate) fn skips(&self, name: &str, version: &str) -> bool {
        self.skipped.iter().any(|skip| skip.name == name && skip.covers(version))
    }
}

/// Returns the text between the first two quotes.
fn quoted(line: &str) -> Option<&str> {
    line.split('"').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_reasons_are_required() {
        let rules = Rules::parse(
            "[licenses]\n# All.\nallow = [\n    \"MIT\",\n]\n[bans]\nmultiple-versions = \"deny\"\n\
             skip = [\n    { crate = \"base64@0.22\", reason = \"sqlx\" },\n]\n",
        );
        let rules = rules.expect("rules");
        assert_eq!(rules.licences, ["MIT"]);
        assert!(rules.skips("base64", "0.22.1") && rules.skips("base64", "0.22"));
        assert!(!rules.skips("base64", "0.220.1") && !rules.skips("base32", "0.22.1"));
        for faulty in ["{ crate = \"base64@0.22\" },", "{ crate = \"base64\", reason = \"x\" },"] {
            assert!(Rules::parse(&format!("skip = [\n{faulty}\n]\n")).is_err(), "{faulty}");
        }
    }
}
