//! IEX DEEP 1.0 and TOPS 1.6 streams.
