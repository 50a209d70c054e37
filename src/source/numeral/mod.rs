//! The Numeral dialect.
