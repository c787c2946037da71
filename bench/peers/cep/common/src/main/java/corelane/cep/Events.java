package corelane.cep;

import java.io.IOException;
import java.nio.ByteOrder;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/**
 * The events of a file that `corelane-bench cep generate` wrote, parsed into memory before anything
 * is measured. See bench/src/cep/events.rs for the layout.
 */
public final class Events {
    private static final int HEADER_BYTES = 64;
    private static final int EVENT_BYTES = 32;

    /** Milliseconds that a pass over the events takes in event time. */
    public final long span;
    public final int count;
    /** Event time in milliseconds, of the first pass. */
    public final long[] ts;
    public final long[] key;
    public final long[] value;
    public final int[] kind;
    /** One string per key, shared by all of its events: its hash is computed once. */
    private final String[] symbols;

    private Events(MappedByteBuffer file) throws IOException {
        file.order(ByteOrder.LITTLE_ENDIAN);
        byte[] magic = new byte[8];
        file.get(magic);
        if (!new String(magic, StandardCharsets.US_ASCII).equals("CLCEPEV1")) {
            throw new IOException("not a file of events");
        }
        count = Math.toIntExact(file.getLong());
        span = file.getLong();
        int keys = Math.toIntExact(file.getLong());
        ts = new long[count];
        key = new long[count];
        value = new long[count];
        kind = new int[count];
        file.position(HEADER_BYTES);
        for (int i = 0; i < count; i++) {
            ts[i] = file.getLong();
            key[i] = file.getLong();
            value[i] = file.getLong();
            kind[i] = Math.toIntExact(file.getLong());
        }
        symbols = new String[keys + 1];
        for (int i = 0; i <= keys; i++) {
            symbols[i] = String.format("S%07d", i);
            symbols[i].hashCode();
        }
        if (file.position() != HEADER_BYTES + (long) count * EVENT_BYTES) {
            throw new IOException("the file of events is cut short");
        }
    }

    public static Events read(Path path) throws IOException {
        try (FileChannel file = FileChannel.open(path)) {
            return new Events(file.map(FileChannel.MapMode.READ_ONLY, 0, file.size()));
        }
    }

    /** A key that no event has: of the event that ends a run. */
    public long lastKey() {
        return symbols.length - 1;
    }

    public String symbolOf(long key) {
        return symbols[(int) key];
    }

    /** The symbol of a key for a query that asks for symbols. */
    public String symbolFor(String query, long key) {
        return query.equals("tumble") ? symbols[(int) key] : null;
    }
}
