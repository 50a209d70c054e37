//! Rows recognised by their bytes.
