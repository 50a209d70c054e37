//! The store on one machine.
