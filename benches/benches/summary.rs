//! The last benchmark in alphabetical order, which is cargo's: prints the results of the run as one
//! table, ratios first.

fn main() {
    benches::summary::print();
}
