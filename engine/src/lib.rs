//! Placeholder until its parts land.
