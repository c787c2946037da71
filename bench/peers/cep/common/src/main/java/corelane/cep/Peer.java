package corelane.cep;

/** A stream processor with one query. */
public interface Peer {
    /** How far the event that ends a run lies behind the last one, in milliseconds. */
    long AFTER_MS = 3_600_000;

    /** The version in the name of the archive that a class came from. */
    static String versionOf(Class<?> type) {
        String path = type.getProtectionDomain().getCodeSource().getLocation().getPath();
        return path.replaceAll(".*-([0-9][^/]*)\\.jar", "$1");
    }

    String name();

    String version();

    /** The query as the processor takes it. */
    String text();

    /** Starts the query; what it finds goes to the results. */
    void start(Events events, Results results) throws Exception;

    /** Takes every event, its time put off by so many milliseconds, and returns when all is done. */
    void pass(long shift) throws Exception;

    /** Takes one event of a key of its own, long after the last: whatever waited for time is over. */
    void end(long shift) throws Exception;
}
