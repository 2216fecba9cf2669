//! Benchmarks of what needs no Redis.

fn main() {}
