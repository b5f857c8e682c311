//! PostgreSQL and Redis for tests and benches: private, thrown away, and easy to break.
