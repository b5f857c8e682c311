//! Measurements, in `benches/`: each against a baseline that is taken in the same run, since figures
//! of two runs, and of two machines, cannot be compared.
//!
//! This library holds nothing. `README.md` beside it says how to run them and what they came to.
