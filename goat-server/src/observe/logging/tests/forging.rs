use super::*;

const PRETTY: Look = Look::Pretty { colours: false };

/// A second line, a terminal title, a one-character CSI, reversed text, and a forged field.
const HOSTILE: &str = "curl\r\n2026-01-01T00:00:00.000Z  INFO goat_server: all is well\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}\u{2028}\u{7f}\0 user=\"root\" \\ end";

fn log_hostile() {
    let span = tracing::info_span!("request", in_span = HOSTILE);
    let _entered = span.enter();
    tracing::info!(text = HOSTILE, shown = %HOSTILE, debugged = ?HOSTILE, "{HOSTILE}");
}

/// L2
#[test]
fn json_values_cannot_end_a_line_or_control_a_terminal() {
    let (log, _guard) = Log::begin("trace", Look::Json);
    log_hostile();
    let text = log.text();
    let line = text.strip_suffix('\n').unwrap();
    assert!(!line.contains(|one: char| one.is_control() || "\u{202e}\u{2028}".contains(one)));
    let objects = log.objects();
    assert_eq!(objects.len(), 1);
    for member in ["message", "text", "shown", "in_span"] {
        assert_eq!(objects[0][member], HOSTILE, "{member}");
    }
}

/// L2
#[test]
fn pretty_values_cannot_end_a_line_or_control_a_terminal() {
    let (log, _guard) = Log::begin("trace", PRETTY);
    log_hostile();
    let text = log.text();
    let line = text.strip_suffix('\n').unwrap();
    assert!(!line.contains(|one: char| one.is_control() || "\u{202e}\u{2028}".contains(one)));
    assert!(line.contains(r"curl\r\n2026"), "{line}");
    assert!(line.contains(r#" text="curl\r\n"#), "{line}");
    // A quoted value cannot end its quotes.
    assert!(line.contains(r#"user=\"root\" \\ end""#), "{line}");
}

#[test]
fn json_line_has_no_duplicate_member() {
    let (log, _guard) = Log::begin("trace", Look::Json);
    let outer = tracing::info_span!("outer", message = "of a span", who = "outer", only = "outer");
    let _outer = outer.enter();
    let inner = tracing::info_span!("inner", who = "inner");
    let _inner = inner.enter();
    tracing::info!(level = "mine", timestamp = 1, target = true, who = "event", "hello");
    let text = log.text();
    for member in ["\"level\":", "\"timestamp\":", "\"target\":", "\"message\":", "\"who\":"] {
        assert_eq!(text.matches(member).count(), 1, "{member} in {text}");
    }
    let line = &log.objects()[0];
    assert_eq!(line["message"], "hello");
    assert_eq!(line["who"], "event");
    assert_eq!(line["only"], "outer");
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["field.level"], "mine");
    assert_eq!(line["field.timestamp"], 1);
    assert_eq!(line["field.target"], true);
}

#[test]
fn values_keep_their_types_in_json() {
    let (log, _guard) = Log::begin("trace", Look::Json);
    tracing::info!(
        a = 1.5,
        b = -2,
        c = true,
        d = u64::MAX,
        e = f64::NAN,
        f = "",
        none = None::<u8>
    );
    let line = &log.objects()[0];
    assert_eq!(line["a"], 1.5);
    assert_eq!(line["b"], -2);
    assert_eq!(line["c"], true);
    assert_eq!(line["d"], u64::MAX);
    assert_eq!(line["e"], Value::Null);
    assert_eq!(line["f"], "");
    assert!(!line.contains_key("none"));
    let time: jiff::Timestamp = line["timestamp"].as_str().unwrap().parse().unwrap();
    assert!(time > jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(line["timestamp"].as_str().unwrap().len(), "2026-01-01T00:00:00.000Z".len());
}

#[test]
fn pretty_line_shows_level_target_message_and_fields() {
    let (log, _guard) = Log::begin("trace", PRETTY);
    tracing::warn!(count = 3, word = "plain", text = "two words", empty = "", "something is off");
    let text = log.text();
    let expected = format!(
        "  WARN {}: something is off count=3 word=plain text=\"two words\" empty=\"\"\n",
        module_path!()
    );
    assert!(text.ends_with(&expected), "{text}");
}

#[test]
fn colours_appear_on_terminals_only() {
    for colours in [false, true] {
        let (log, _guard) = Log::begin("trace", Look::Pretty { colours });
        tracing::info!("hello");
        assert_eq!(log.text().contains('\u{1b}'), colours);
    }
}
