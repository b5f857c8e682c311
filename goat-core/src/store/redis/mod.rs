//! Storage in Redis or Valkey: sessions, limits, what nodes remember together, and notices.
