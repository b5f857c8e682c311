//! The security requirements, and the codes that name them in texts.

use std::collections::BTreeSet;

/// One requirement: a code such as `R4`, and a sentence that a test can show.
pub(crate) struct Requirement {
    pub(crate) code: String,
    pub(crate) text: String,
}

/// Requirements of one subject.
pub(crate) struct Section {
    pub(crate) title: String,
    pub(crate) requirements: Vec<Requirement>,
}

/// Reads sections: `# TITLE`, then one requirement a line, its code first.
///
/// # Errors
///
/// Names the line that has another form, or a code that occurs twice.
pub(crate) fn parse(text: &str) -> Result<Vec<Section>, String> {
    let mut sections: Vec<Section> = Vec::new();
    let mut codes = BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(title) = line.strip_prefix("# ") {
            sections.push(Section { title: title.to_owned(), requirements: Vec::new() });
            continue;
        }
        let (Some(section), Some((code, text))) = (sections.last_mut(), line.split_once(' '))
        else {
            return Err(format!("no requirement of a section: {line}"));
        };
        if letter_and_number(code).is_none() || !codes.insert(code.to_owned()) {
            return Err(format!("no code, or one that is used twice: {line}"));
        }
        section.requirements.push(Requirement { code: code.to_owned(), text: text.to_owned() });
    }
    Ok(sections)
}

/// Returns the known codes in a comment; `J1 to J5` stands for five.
pub(crate) fn codes_in(comment: &str, known: &BTreeSet<String>) -> BTreeSet<String> {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '\'';
    let words: Vec<&str> =
        comment.split(|letter| !is_part(letter)).filter(|word| !word.is_empty()).collect();
    let mut found: BTreeSet<String> = words.iter().map(|word| (*word).to_owned()).collect();
    for three in words.windows(3) {
        if let [first, "to", last] = three
            && let (Some((letter, from)), Some((same, to))) =
                (letter_and_number(first), letter_and_number(last))
            && letter == same
        {
            found.extend((from..=to).map(|number| format!("{letter}{number}")));
        }
    }
    found.retain(|code| known.contains(code));
    found
}

/// Returns the known codes in the name of a test: `w4_probes_share_one_check`.
pub(crate) fn codes_in_name(name: &str, known: &BTreeSet<String>) -> BTreeSet<String> {
    let words = name.split('_').map(str::to_ascii_uppercase);
    words.filter(|word| known.contains(word)).collect()
}

fn letter_and_number(code: &str) -> Option<(char, u32)> {
    let letter = code.chars().next().filter(char::is_ascii_uppercase)?;
    Some((letter, code[1..].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> BTreeSet<String> {
        ["J1", "J2", "J3", "J10", "R4"].map(str::to_owned).into()
    }

    #[test]
    fn sections_and_requirements_are_read() {
        let sections =
            parse("# Tokens\nJ1 One.\nJ2 Two.\n\n# Sessions\nR4 Four.\n").expect("a list");
        let codes = |section: &Section| -> Vec<String> {
            section.requirements.iter().map(|one| one.code.clone()).collect()
        };
        assert_eq!(codes(&sections[0]), ["J1", "J2"]);
        assert_eq!(
            (sections[1].title.as_str(), codes(&sections[1])),
            ("Sessions", vec!["R4".into()])
        );
        for faulty in ["J1 One.", "# Tokens\nj1 One.", "# Tokens\nJ1 One.\nJ1 Again.", "# T\nJ1"] {
            assert!(parse(faulty).is_err(), "{faulty}");
        }
    }

    #[test]
    fn codes_are_found_alone_in_lists_and_in_ranges() {
        let codes = |text| codes_in(text, &known()).into_iter().collect::<Vec<_>>();
        assert_eq!(codes("J1, R4: a sentence about J10."), ["J1", "J10", "R4"]);
        assert_eq!(codes("J1 to J3"), ["J1", "J2", "J3"]);
        assert!(codes("J1a, U+J1_ and %J4").is_empty());
        let name = codes_in_name("r4_logged_out_session_stays_ended", &known());
        assert_eq!(name.into_iter().collect::<Vec<_>>(), ["R4"]);
    }
}
