//! Functions of tests in a formatted source file, with the codes in their comments.
//!
//! Lines and their indentation suffice, since every file is formatted. Only code of tests is read: files
//! in a `tests` folder or named `tests.rs`, conformance suites, and modules named `tests`.

use std::collections::BTreeSet;

use crate::requirements::{codes_in, codes_in_name};

/// A function, with everything in it.
pub(crate) struct Function {
    /// Path of the file.
    pub(crate) file: String,
    /// Name of the test binary.
    pub(crate) binary: String,
    pub(crate) module: Vec<String>,
    pub(crate) name: String,
    pub(crate) codes: BTreeSet<String>,
    pub(crate) is_test: bool,
    pub(crate) body: String,
}

impl Function {
    /// Whether this function calls the other one, by its name or by a path of that name.
    pub(crate) fn calls(&self, other: &Self) -> bool {
        let mut rest = self.body.as_str();
        while let Some(at) = rest.find(&other.name) {
            let (before, after) = (&rest[..at], &rest[at + other.name.len()..]);
            let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
            if !before.ends_with(is_name) && !after.starts_with(is_name) {
                let qualifier = before
                    .strip_suffix("::")
                    .map(|path| path.rsplit(|letter| !is_name(letter)).next().unwrap_or_default());
                let is_meant = match qualifier {
                    None => self.file == other.file || other.is_unique_name(),
                    Some("super" | "crate" | "self") => true,
                    Some(module) => other.module.iter().any(|name| name == module),
                };
                if is_meant {
                    return true;
                }
            }
            rest = after;
        }
        false
    }

    /// A name of many words does not occur twice by chance.
    fn is_unique_name(&self) -> bool {
        self.name.matches('_').count() >= 2
    }
}

/// The part of the tree that a file belongs to: a package's folder, and the file's path in it.
pub(crate) fn place(path: &str, packages: &[String]) -> Option<(String, Vec<String>)> {
    let package = packages
        .iter()
        .filter(|package| {
            path.strip_prefix(package.as_str()).is_some_and(|rest| rest.starts_with('/'))
        })
        .max_by_key(|package| package.len())?;
    let inside = &path[package.len() + 1..];
    let (kind, rest) = inside.strip_suffix(".rs")?.split_once('/')?;
    let mut module: Vec<String> = rest.split('/').map(str::to_owned).collect();
    let binary = match kind {
        "src" if module.len() > 1 && module[0] == "bin" => module.drain(..2).next_back()?,
        "src" => package.rsplit('/').next()?.replace('-', "_"),
        "tests" => module.remove(0),
        _ => return None,
    };
    module.pop_if(|last| matches!(last.as_str(), "mod" | "lib" | "main"));
    Some((binary, module))
}

/// Whether every function of the file belongs to tests.
fn is_of_tests(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs") || path.contains("/src/testing/")
}

/// Reads the functions of a file.
pub(crate) fn functions(
    path: &str,
    text: &str,
    packages: &[String],
    known: &BTreeSet<String>,
) -> Vec<Function> {
    let Some((binary, file_module)) = place(path, packages) else { return Vec::new() };
    let mut scan = Scan {
        known,
        of_file: BTreeSet::new(),
        modules: Vec::new(),
        open: None,
        comment: BTreeSet::new(),
        is_test: false,
        in_attribute: false,
        found: Vec::new(),
    };
    for line in text.lines() {
        scan.line(line, || Function {
            file: path.to_owned(),
            binary: binary.clone(),
            module: file_module.clone(),
            name: String::new(),
            codes: BTreeSet::new(),
            is_test: false,
            body: String::new(),
        });
    }
    let of_tests = is_of_tests(path);
    let mut found = scan.found;
    found.retain(|function| of_tests || function.module.iter().any(|name| name == "tests"));
    let listed: Vec<String> = text.lines().filter_map(listed_in_macro).flatten().collect();
    for function in &mut found {
        function.is_test |= listed.contains(&function.name);
        let in_name = codes_in_name(&function.name, known);
        function.codes.extend(in_name);
        // The codes of the file are for the tests that have none of their own.
        if of_tests && function.is_test && function.codes.is_empty() {
            function.codes.extend(scan.of_file.iter().cloned());
        }
    }
    found
}

struct Scan<'a> {
    known: &'a BTreeSet<String>,
    /// Codes in the comment of the file.
    of_file: BTreeSet<String>,
    /// Open modules, with their indentation.
    modules: Vec<(usize, String)>,
    /// The open function, with its indentation.
    open: Option<(usize, Function)>,
    /// Codes in the comment above the next item.
    comment: BTreeSet<String>,
    /// Whether an attribute above the next item marks a test.
    is_test: bool,
    /// Whether an attribute continues on the next line.
    in_attribute: bool,
    found: Vec<Function>,
}

impl Scan<'_> {
    fn line(&mut self, line: &str, empty: impl FnOnce() -> Function) {
        let code = line.trim_start();
        let indent = line.len() - code.len();
        let comment = code.find("//").filter(|&at| at == 0 || code[..at].ends_with(' '));
        let codes = comment
            .map(|at| codes_in(code[at..].trim_start_matches('/'), self.known))
            .unwrap_or_default();
        if let Some((opened_at, mut function)) = self.open.take() {
            function.codes.extend(codes);
            function.body.push_str(code);
            function.body.push('\n');
            let is_end = indent == opened_at
                && (code == "}" || code.starts_with(')') && code.ends_with(';'));
            self.leave_or_continue(opened_at, function, is_end);
        } else if code.starts_with("//!") {
            self.of_file.extend(codes);
        } else if code.starts_with("//") {
            self.comment.extend(codes);
        } else if self.in_attribute || code.starts_with("#[") {
            self.is_test |= code.starts_with("#[test]") || code.contains("::test");
            self.in_attribute = !code.ends_with(']');
        } else if let Some(name) = name_after("fn", code) {
            let mut function = empty();
            function.module.extend(self.modules.iter().map(|(_, name)| name.clone()));
            name.clone_into(&mut function.name);
            function.codes = std::mem::take(&mut self.comment);
            function.codes.extend(codes);
            function.is_test = std::mem::take(&mut self.is_test);
            // The name itself is no call.
            if let Some((_, rest)) = code.split_once(name) {
                function.body = rest.to_owned();
            }
            let is_end = code.ends_with('}') || code.ends_with(';');
            self.leave_or_continue(indent, function, is_end);
        } else {
            if let Some(name) = name_after("mod", code).filter(|_| code.ends_with('{')) {
                self.modules.push((indent, name.to_owned()));
            }
            if code == "}" {
                self.modules.pop_if(|(opened_at, _)| *opened_at == indent);
            }
            self.comment.clear();
            self.is_test = false;
        }
    }

    fn leave_or_continue(&mut self, indent: usize, function: Function, is_end: bool) {
        if is_end {
            self.found.push(function);
        } else {
            self.open = Some((indent, function));
        }
    }
}

/// Returns the name of an item: after `fn` in `pub(crate) async fn name(`.
fn name_after<'a>(keyword: &str, code: &'a str) -> Option<&'a str> {
    let mut words = code.split_whitespace();
    let before = ["pub", "pub(crate)", "pub(super)", "async", "const"];
    let found = words.find(|word| !before.contains(word))?;
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    let name = words.next().filter(|_| found == keyword)?;
    let end = name.find(|letter| !is_name(letter)).unwrap_or(name.len());
    Some(&name[..end]).filter(|name| !name.is_empty())
}

/// Returns the names that a line gives to a macro: `on_every_backend!(multi_thread name);` or a line
/// of its list.
fn listed_in_macro(line: &str) -> Option<Vec<String>> {
    let line = line.trim();
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    let names = match line.split_once("!(").or_else(|| line.split_once("![")) {
        Some((name, list)) if name.starts_with("on_every") => {
            list.trim_end_matches([')', ']', ';'])
        }
        Some(_) => return None,
        None => line.strip_suffix(',').filter(|name| name.chars().all(is_name))?,
    };
    Some(names.split(|letter| !is_name(letter)).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str, text: &str) -> Vec<Function> {
        let packages = ["goat-core", "goat-core/tests/engines", "goat-server"].map(str::to_owned);
        let known = ["A3", "H2", "J1", "R4"].map(str::to_owned).into();
        functions(path, text, &packages, &known)
    }

    fn codes(function: &Function) -> Vec<&str> {
        function.codes.iter().map(String::as_str).collect()
    }

    #[test]
    fn place_is_the_binary_and_the_module() {
        let packages = ["goat-core", "goat-core/tests/engines", "goat-server"].map(str::to_owned);
        for (path, expected) in [
            ("goat-core/src/lib.rs", "goat_core"),
            ("goat-core/src/token/tests/mod.rs", "goat_core token tests"),
            ("goat-server/tests/api/user/list.rs", "api user list"),
            ("goat-server/tests/wire/main.rs", "wire"),
            ("goat-core/tests/architecture.rs", "architecture"),
            ("goat-server/src/bin/own/tests.rs", "own tests"),
            ("goat-server/src/bin/own.rs", "own"),
            ("goat-core/tests/engines/tests/redis.rs", "redis"),
        ] {
            let (binary, module) = place(path, &packages).expect(path);
            let found: Vec<String> = [binary].into_iter().chain(module).collect();
            assert_eq!(found.join(" "), expected, "{path}");
        }
        assert!(place("benches/src/lib.rs", &packages).is_none());
    }

    #[test]
    fn codes_come_from_the_comments_of_a_test_its_body_and_its_file() {
        let found = read(
            "goat-server/tests/wire/framing.rs",
            "//! H2: framing.\n\n\
             /// J1: a sentence.\n#[tokio::test(flavor = \"multi_thread\")]\nasync fn one() {\n    \
             // R4\n    helper();\n}\n\n\
             /// A3\nfn helper() {\n    loop {\n    }\n}\n\n\
             /// J1\nstruct Other;\n\n\
             #[test]\nfn r4_two() {}\n\n#[test]\nfn three() {}\n",
        );
        let [one, helper, two, three] = found.as_slice() else { panic!("{}", found.len()) };
        assert_eq!((one.name.as_str(), codes(one)), ("one", vec!["J1", "R4"]));
        assert_eq!((helper.is_test, codes(helper)), (false, vec!["A3"]));
        assert_eq!((two.is_test, codes(two)), (true, vec!["R4"]));
        assert_eq!((three.is_test, codes(three)), (true, vec!["H2"]));
        assert!(one.calls(helper) && !helper.calls(one) && !two.calls(helper));
    }

    #[test]
    fn tests_are_marked_by_attributes_and_macros_in_modules() {
        let found = read(
            "goat-core/src/limit/key.rs",
            "/// A3: not a test.\nfn production() {}\n\n\
             #[cfg(test)]\nmod tests {\n    proptest! {\n        /// J1\n        #[test]\n        \
             fn property(x in 0..1) {\n            let y = x;\n        }\n    }\n\n    \
             on_every_store!(behaviour);\n\n    /// R4\n    async fn behaviour(\n        store: Store,\n    \
             ) {\n    }\n}\n",
        );
        let [property, behaviour] = found.as_slice() else { panic!("{}", found.len()) };
        assert!(property.is_test && behaviour.is_test);
        assert_eq!(property.module, ["limit", "key", "tests"]);
        assert_eq!((codes(property), codes(behaviour)), (vec!["J1"], vec!["R4"]));
    }

    #[test]
    fn suites_are_called_by_their_module() {
        let suite = &read(
            "goat-core/src/testing/sessions/mod.rs",
            "/// R4\npub async fn conformance(store: &Store) {\n}\n",
        )[0];
        let call = |body: &str| {
            let text = format!("#[test]\nfn it() {{\n    {body}\n}}\n");
            read("goat-core/tests/integration/conformance.rs", &text)[0].calls(suite)
        };
        assert!(call("testing::sessions::conformance(&store).await;"));
        assert!(!call("testing::users::conformance(&store).await;"));
        assert!(!call("conformance(&store).await;"));
    }
}
