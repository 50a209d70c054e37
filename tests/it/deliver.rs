//! The `deliver` room, through its door.
