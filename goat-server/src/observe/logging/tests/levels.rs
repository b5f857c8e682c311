use super::*;

/// L1: dependencies may print anything at `debug` and `trace`.
#[test]
fn dependencies_never_log_below_info() {
    for directives in ["trace", "h2=trace,hyper=trace,sqlx=debug,goat_core=trace", "trace,h2=trace"]
    {
        let (log, _guard) = Log::begin(directives, Look::Json);
        tracing::trace!(target: "h2::codec", "authorization: canary");
        tracing::debug!(target: "hyper::proto", "authorization: canary");
        tracing::debug!(target: "sqlx::query", "canary");
        tracing::trace!(target: "goat_core_impostor", "canary");
        tracing::trace!(target: "goat_core::auth", "own");
        tracing::info!(target: "sqlx::migrate", "theirs");
        let text = log.text();
        assert!(!text.contains("canary"), "{text}");
        assert!(text.contains("own"), "{text}");
    }
}

#[test]
fn operator_can_log_less() {
    let (log, _guard) = Log::begin("warn,goat_core=error,sqlx=off", Look::Json);
    tracing::info!(target: "goat_server", "quiet");
    tracing::warn!(target: "goat_core", "quiet");
    tracing::error!(target: "sqlx", "quiet");
    tracing::warn!(target: "goat_server", "loud");
    let messages: Vec<_> = log.objects().iter().map(|line| line["message"].clone()).collect();
    assert_eq!(messages, ["loud"]);
}

#[test]
fn lines_under_a_quiet_filter_keep_the_request_id() {
    let (log, _guard) = Log::begin("off,goat_core=warn", Look::Json);
    let request = tracing::error_span!(
        target: super::super::request::TARGET,
        super::super::request::SPAN,
        request_id = "order-17"
    );
    request.in_scope(|| tracing::warn!(target: "goat_core::auth", "deep within"));
    let lines = log.objects();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["request_id"], "order-17");
}

#[test]
fn malformed_filter_is_an_error() {
    assert!(subscriber("goat_core=loud", Look::Json, Log::default()).is_err());
}

/// O6: a clock that was set back is one warning, and one line once it has caught up.
#[test]
fn clock_that_was_set_back_is_logged_once() {
    use goat_core::testing::ManualClock;
    use goat_core::{Clock as _, Time};

    let (log, _guard) = Log::begin("info", Look::Json);
    let clock = ManualClock::default();
    let time = Time::new(Arc::new(clock.clone()));
    clock.set_wall_clock(clock.now() - std::time::Duration::from_secs(3600));
    for _ in 0..3 {
        let _ = time.now();
    }
    clock.set_wall_clock(time.now());
    for _ in 0..3 {
        let _ = time.now();
    }
    let lines = log.objects();
    let levels: Vec<_> = lines.iter().map(|line| line["level"].clone()).collect();
    assert_eq!(levels, ["WARN", "INFO"]);
    assert_eq!(lines[0]["ahead_seconds"], 3600);
}
