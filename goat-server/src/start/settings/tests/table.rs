//! The table of settings: each has a valid default, bounds, a flag, and a line in `.env.example`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::super::table::{Exposure, Fallback, Kind, TABLE};
use super::super::{help, values};
use super::{environment, sources};

#[test]
fn settings_match_the_documentation() {
    let names: Vec<&str> = TABLE.iter().map(|setting| setting.name).collect();
    assert_eq!(names.len(), 90);
    let mut unique = names.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), names.len());
    let secrets: Vec<&str> = TABLE
        .iter()
        .filter(|setting| setting.exposure == Exposure::Secret)
        .map(|setting| setting.name)
        .collect();
    assert_eq!(
        secrets,
        [
            "GOAT_JWT_SECRET",
            "GOAT_JWT_PRIVATE_KEY",
            "GOAT_PASSWORD_PEPPER",
            "GOAT_ADMIN_PASSWORD",
            "GOAT_SERVER_KEY"
        ]
    );
}

#[test]
fn every_setting_rejects_an_empty_value() {
    for setting in TABLE {
        for value in ["", " "] {
            let problem = environment(&[(setting.name, value)]).problem();
            assert!(problem.starts_with(&format!("{}: ", setting.name)), "{problem}");
            assert!(problem.contains(" is empty; expected "), "{problem}");
        }
    }
}

#[test]
fn every_textual_default_is_a_valid_value() {
    for setting in TABLE {
        if let Fallback::Text(text) = setting.default {
            let given = environment(&[(setting.name, text)]).settings();
            assert_eq!(format!("{given:?}"), format!("{:?}", sources().settings()));
        }
    }
}

#[test]
fn choices_accept_exactly_their_words() {
    for setting in TABLE {
        let Kind::Choice(words) = setting.kind else { continue };
        for word in words {
            let complaints = match environment(&[(setting.name, word)]).load() {
                Ok(_) => continue,
                Err(invalid) => invalid.to_string(),
            };
            assert!(!complaints.contains("is not one of"), "{complaints}");
        }
        for wrong in ["perhaps", &words[0].to_uppercase(), &format!("{} ", words[0])] {
            if !words.contains(&wrong) {
                let problem = environment(&[(setting.name, wrong)]).problem();
                assert!(problem.contains(&format!("expected {}", setting.kind)), "{problem}");
            }
        }
    }
}

#[test]
fn numbers_and_durations_are_bounded() {
    let step = Duration::from_millis(1);
    for setting in TABLE {
        let (least, most, outside) = match setting.kind {
            Kind::Count(from, to) => {
                let below = from.checked_sub(1).map(|value| value.to_string());
                let outside = [below, Some((to + 1).to_string())];
                (from.to_string(), to.to_string(), outside)
            }
            Kind::Duration(from, to) | Kind::DurationOrOff(from, to) => {
                let below = from.checked_sub(step).map(values::show);
                let outside = [below, Some(values::show(to + step))];
                (values::show(from), values::show(to), outside)
            }
            _ => continue,
        };
        for value in outside.into_iter().flatten() {
            let problem = environment(&[(setting.name, &value)]).problem();
            let expected =
                format!("{}: {value:?} is out of range; expected {}", setting.name, setting.kind);
            assert_eq!(problem, expected);
        }
        for value in [least, most] {
            // It may contradict a default, but is within its bounds.
            if let Err(invalid) = environment(&[(setting.name, &value)]).load() {
                assert!(!invalid.to_string().contains("out of range"), "{invalid}");
            }
        }
    }
}

#[test]
fn every_non_secret_setting_has_a_flag() {
    for setting in TABLE.iter().filter(|setting| setting.exposure != Exposure::Secret) {
        let flag = format!("--{}=", setting.name.to_lowercase().replace('_', "-"));
        let problem = sources().arguments(&["serve", &flag]).problem();
        assert!(problem.starts_with(&format!("{} (--", setting.name)), "{problem}");
    }
}

/// `UPDATE_SNAPSHOTS=1 cargo test -p goat-server env_example` updates the file.
#[test]
fn env_example_matches_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".env.example");
    let generated = help::env_example();
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, &generated).expect("the example is written");
    }
    let kept = fs::read_to_string(&path).expect("the example is there");
    assert!(kept == generated, "run with UPDATE_SNAPSHOTS=1 to write {} anew", path.display());
}

#[test]
fn env_example_with_defaults_enabled_changes_nothing() {
    let text: String = help::env_example()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(set) if !set.starts_with(' ') && !set.ends_with('=') => format!("{set}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    assert!(text.contains("\nGOAT_LISTEN=127.0.0.1:8080\n"));
    let (settings, warnings) = sources().dotenv(&text).load().expect("valid settings");
    assert_eq!(format!("{settings:?}"), format!("{:?}", sources().settings()));
    assert_eq!(warnings, []);
}
