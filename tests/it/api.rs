//! The `api` room, through its door.
