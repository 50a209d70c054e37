//! The `store` room, through its door.

mod smoke;
