//! The `source` room, through its door.
