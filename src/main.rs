//! The `certhook` program.

fn main() {}
