//! The first difference between two transcripts.

use std::fmt::Write as _;

use super::run::Exchange;

/// How many preceding exchanges are listed.
const BEFORE: usize = 5;

/// Formats the first exchange that differs, or returns `None` if the transcripts are equal.
pub(crate) fn difference(
    (one, first): (&str, &[Exchange]),
    (other, second): (&str, &[Exchange]),
) -> Option<String> {
    let place = first.iter().zip(second).position(|(one, other)| one != other);
    let place = place.or((first.len() != second.len()).then(|| first.len().min(second.len())))?;
    let mut shown = format!("exchange {} of {} differs\n", place + 1, first.len());
    for exchange in &first[place.saturating_sub(BEFORE)..place] {
        writeln!(shown, "    before: {} {}", exchange.line, exchange.status).expect("written");
    }
    writeln!(shown, "  - {one}\n  + {other}\n").expect("written");
    let lines = |exchanges: &[Exchange]| -> Vec<String> {
        let text = exchanges.get(place).map_or("no request", |exchange| &exchange.text);
        text.lines().map(str::to_owned).collect()
    };
    let (first, second) = (lines(first), lines(second));
    // Line by line if the counts are equal; otherwise everything between the first and last difference.
    let is_aligned = first.len() == second.len();
    let begins = first.iter().zip(&second).take_while(|(one, other)| one == other).count();
    let ends = first[begins..].iter().rev().zip(second[begins..].iter().rev());
    let ends = ends.take_while(|(one, other)| one == other).count();
    let mut write =
        |mark: &str, line: &String| writeln!(shown, "  {mark} {line}").expect("written");
    first[..begins].iter().for_each(|line| write(" ", line));
    let middles = (&first[begins..first.len() - ends], &second[begins..second.len() - ends]);
    if is_aligned {
        for (one, other) in middles.0.iter().zip(middles.1) {
            if one == other {
                write(" ", one);
            } else {
                write("-", one);
                write("+", other);
            }
        }
    } else {
        middles.0.iter().for_each(|line| write("-", line));
        middles.1.iter().for_each(|line| write("+", line));
    }
    first[first.len() - ends..].iter().for_each(|line| write(" ", line));
    Some(shown)
}

#[test]
fn first_different_exchange_is_shown_with_its_differences() {
    let exchange = |line: &str, text: &str| Exchange {
        line: line.to_owned(),
        status: 200,
        text: text.to_owned(),
    };
    let first = [exchange("GET /a", "GET /a\n200"), exchange("GET /b", "GET /b\n200\nx: 1\n\n{}")];
    let mut second = first.clone();
    assert_eq!(difference(("one", &first), ("other", &second)), None);
    second[1].text = "GET /b\n200\nx: 2\n\n{}".to_owned();
    let shown = difference(("one", &first), ("other", &second)).expect("a difference");
    assert_eq!(
        shown,
        "exchange 2 of 2 differs\n    before: GET /a 200\n  - one\n  + other\n\n    GET /b\n    200\n\
         \u{20} - x: 1\n  + x: 2\n    \n    {}\n"
    );
    let shown = difference(("one", &first), ("other", &first[..1])).expect("a difference");
    assert!(shown.contains("+ no request"), "{shown}");
}
