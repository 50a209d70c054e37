//! The `config` room, through its door.
