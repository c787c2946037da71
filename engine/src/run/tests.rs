//! Runs over generated sessions: both topologies, both speeds, live over loopback.
