//! `check` and `user …` on PostgreSQL and Redis.
