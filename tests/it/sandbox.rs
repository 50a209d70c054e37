//! The `sandbox` room, through its door.
