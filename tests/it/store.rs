//! The `store` room, through its door.
