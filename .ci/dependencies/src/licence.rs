//! Licence expressions (SPDX), as far as crates use them: `AND`, `OR`, parentheses, and the older `/`.

/// Returns the allowed licences that satisfy an expression, or none if they do not.
pub(crate) fn accepted(expression: &str, allowed: &[String]) -> Option<Vec<String>> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words: Vec<&str> = spaced.split_whitespace().collect();
    // An exception only adds permissions.
    while let Some(at) = words.iter().position(|word| *word == "WITH") {
        words.drain(at..words.len().min(at + 2));
    }
    let mut rest = words.as_slice();
    let accepted = any_of(&mut rest, allowed);
    accepted.filter(|_| rest.is_empty())
}

fn any_of(rest: &mut &[&str], allowed: &[String]) -> Option<Vec<String>> {
    let mut accepted = all_of(rest, allowed);
    while let [first, others @ ..] = *rest
        && *first == "OR"
    {
        *rest = others;
        let other = all_of(rest, allowed);
        accepted = accepted.or(other);
    }
    accepted
}

fn all_of(rest: &mut &[&str], allowed: &[String]) -> Option<Vec<String>> {
    let mut accepted = one(rest, allowed);
    while let [first, others @ ..] = *rest
        && *first == "AND"
    {
        *rest = others;
        let other = one(rest, allowed);
        accepted = accepted.zip(other).map(|(one, other)| [one, other].concat());
    }
    accepted
}

fn one(rest: &mut &[&str], allowed: &[String]) -> Option<Vec<String>> {
    let [first, others @ ..] = *rest else { return None };
    *rest = others;
    if *first != "(" {
        return allowed.iter().find(|licence| licence == first).map(|one| vec![one.clone()]);
    }
    let accepted = any_of(rest, allowed);
    let [")", others @ ..] = *rest else { return None };
    *rest = others;
    accepted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_evaluated() {
        let allowed = ["MIT", "ISC", "Apache-2.0"].map(str::to_owned);
        for (expression, expected) in [
            ("MIT", Some(vec!["MIT"])),
            ("GPL-3.0", None),
            ("GPL-3.0 OR MIT", Some(vec!["MIT"])),
            ("MIT AND ISC", Some(vec!["MIT", "ISC"])),
            ("MIT AND GPL-3.0", None),
            ("ISC AND (GPL-3.0 OR MIT)", Some(vec!["ISC", "MIT"])),
            ("MIT OR ISC AND GPL-3.0", Some(vec!["MIT"])),
            ("GPL-3.0/MIT", Some(vec!["MIT"])),
            ("Apache-2.0 WITH LLVM-exception", Some(vec!["Apache-2.0"])),
            ("(MIT", None),
            ("MIT ISC", None),
            ("", None),
        ] {
            let accepted = accepted(expression, &allowed);
            let expected = expected.map(|all| all.into_iter().map(str::to_owned).collect());
            assert_eq!(accepted, expected, "{expression}");
        }
    }
}
