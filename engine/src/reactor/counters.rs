//! What a reactor counts: everything received, and everything lost or refused by its cause.
//!
//! Invariant: plain numbers of one thread; a report copies them. Names are stable, they are the
//! names in metrics.

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Counts since the reactor was opened.
        #[derive(Copy, Clone, Default, PartialEq, Eq, Debug)]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl Counters {
            /// Every counter with its name, in a fixed order.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($name), self.$name),)+].into_iter()
            }

            /// Adds another reactor's counts.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)+
            }
        }
    };
}

counters! {
    /// Datagrams handed over.
    datagrams,
    /// Bytes of payload in them.
    datagram_bytes,
    /// Datagrams longer than `datagram_bytes_max`: dropped here.
    truncated,
    /// What the kernel dropped because a socket's buffer was full, as of the last report.
    kernel_drops,
    /// Times the ring of provided buffers ran empty (`uring`): backpressure, nothing is lost by it.
    buffers_exhausted,
    /// Multishot receives armed again (`uring`).
    rearmed,
    /// Receives that failed for another reason.
    receive_errors,
    /// Completions or control data that made no sense: skipped.
    malformed,
    /// Pieces of streams handed over.
    stream_pieces,
    /// Bytes in them.
    stream_bytes,
    /// Connections made.
    connects,
    /// Tries to connect that failed.
    connect_failures,
    /// Connections lost or dropped.
    disconnects,
    /// Bytes sent on connections.
    sent_bytes,
    /// Sends refused: not connected, or the buffer of unsent bytes full.
    send_refused,
    /// Times the kernel was entered to receive.
    enters,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_have_names_and_add_up() {
        let mut counters = Counters { datagrams: 1, enters: 2, ..Counters::default() };
        counters.add(&counters.clone());
        assert_eq!(counters.iter().next(), Some(("datagrams", 2)));
        assert_eq!(counters.iter().last(), Some(("enters", 4)));
    }
}
