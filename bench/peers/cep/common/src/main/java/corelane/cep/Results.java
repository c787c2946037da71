package corelane.cep;

/** Counts the rows of a result and sums their hashes, so that their order does not matter. */
public final class Results {
    private static final long GOLDEN = 0x9e3779b97f4a7c15L;

    // Read when a pass has ended, which an engine with threads of its own tells through a lock.
    private long rows;
    private long sum;

    private static long mix(long hash, long word) {
        long mixed = (hash ^ word) * GOLDEN;
        return mixed ^ (mixed >>> 32);
    }

    private void add(long hash) {
        rows += 1;
        sum += hash;
    }

    public void add(long a, long b) {
        add(mix(mix(0, a), b));
    }

    public void add(long a, long b, long c) {
        add(mix(mix(mix(0, a), b), c));
    }

    public void add(long a, long b, long c, long d) {
        add(mix(mix(mix(mix(0, a), b), c), d));
    }

    public void add(String symbol, long total) {
        add(symbol.hashCode(), total);
    }

    public long rows() {
        return rows;
    }

    public long sum() {
        return sum;
    }
}
