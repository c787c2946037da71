package corelane.cep;

import java.io.Serializable;
import java.util.List;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import org.apache.flink.api.common.eventtime.Watermark;
import org.apache.flink.api.connector.source.Boundedness;
import org.apache.flink.api.connector.source.ReaderOutput;
import org.apache.flink.api.connector.source.Source;
import org.apache.flink.api.connector.source.SourceReader;
import org.apache.flink.api.connector.source.SourceReaderContext;
import org.apache.flink.api.connector.source.SourceSplit;
import org.apache.flink.api.connector.source.SplitEnumerator;
import org.apache.flink.api.connector.source.SplitEnumeratorContext;
import org.apache.flink.core.io.InputStatus;
import org.apache.flink.core.io.SimpleVersionedSerializer;

/** A source that gives the events of a pass when it is told to, from memory, many at a poll. */
final class PassSource<T> implements Source<T, PassSource.NoSplit, Void> {
    private static final long serialVersionUID = 1;
    /** Events between two looks at what else the task has to do. */
    private static final int POLL_MAX = 256;

    /** Makes a record of the engine's from an event. */
    interface Maker<T> extends Serializable {
        T make(long ts, long key, long value, int kind);
    }

    /** What to give next: events from a pass, or the one that ends the run. */
    record Command(long shift, boolean end) {}

    /** There is nothing to divide. */
    static final class NoSplit implements SourceSplit {
        @Override
        public String splitId() {
            return "";
        }
    }

    /** Shared with the thread that commands: the job runs in the same process. */
    static final class Commands {
        static final BlockingQueue<Command> QUEUE = new ArrayBlockingQueue<>(1);
        static volatile CompletableFuture<Void> available = new CompletableFuture<>();
        static Events events;

        private Commands() {}

        static void put(Command command) throws InterruptedException {
            QUEUE.put(command);
            available.complete(null);
        }
    }

    private final Maker<T> maker;

    PassSource(Maker<T> maker) {
        this.maker = maker;
    }

    @Override
    public Boundedness getBoundedness() {
        return Boundedness.CONTINUOUS_UNBOUNDED;
    }

    @Override
    public SourceReader<T, NoSplit> createReader(SourceReaderContext context) {
        return new Reader<>(maker);
    }

    private static final class Reader<T> implements SourceReader<T, NoSplit> {
        private final Maker<T> maker;
        private Command command;
        private int next;

        Reader(Maker<T> maker) {
            this.maker = maker;
        }

        @Override
        public void start() {}

        @Override
        public InputStatus pollNext(ReaderOutput<T> output) {
            Events events = Commands.events;
            if (command == null) {
                command = Commands.QUEUE.poll();
                next = 0;
                if (command == null) {
                    return InputStatus.NOTHING_AVAILABLE;
                }
                Commands.available = new CompletableFuture<>();
            }
            if (command.end()) {
                long ts = events.ts[events.count - 1] + command.shift() + Peer.AFTER_MS;
                output.collect(maker.make(ts, events.lastKey(), 0, 0), ts);
                output.emitWatermark(new Watermark(ts));
                command = null;
                return InputStatus.NOTHING_AVAILABLE;
            }
            int until = Math.min(next + POLL_MAX, events.count);
            long shift = command.shift();
            for (int i = next; i < until; i++) {
                long ts = events.ts[i] + shift;
                output.collect(maker.make(ts, events.key[i], events.value[i], events.kind[i]), ts);
            }
            next = until;
            if (next < events.count) {
                return InputStatus.MORE_AVAILABLE;
            }
            command = null;
            output.emitWatermark(new Watermark(events.ts[events.count - 1] + shift));
            return InputStatus.NOTHING_AVAILABLE;
        }

        @Override
        public CompletableFuture<Void> isAvailable() {
            return Commands.available;
        }

        @Override
        public List<NoSplit> snapshotState(long checkpoint) {
            return List.of();
        }

        @Override
        public void addSplits(List<NoSplit> splits) {}

        @Override
        public void notifyNoMoreSplits() {}

        @Override
        public void close() {}
    }

    @Override
    public SplitEnumerator<NoSplit, Void> createEnumerator(SplitEnumeratorContext<NoSplit> context) {
        return new NoSplits();
    }

    @Override
    public SplitEnumerator<NoSplit, Void> restoreEnumerator(
            SplitEnumeratorContext<NoSplit> context, Void state) {
        return new NoSplits();
    }

    private static final class NoSplits implements SplitEnumerator<NoSplit, Void> {
        @Override
        public void start() {}

        @Override
        public void handleSplitRequest(int subtask, String host) {}

        @Override
        public void addSplitsBack(List<NoSplit> splits, int subtask) {}

        @Override
        public void addReader(int subtask) {}

        @Override
        public Void snapshotState(long checkpoint) {
            return null;
        }

        @Override
        public void close() {}
    }

    @Override
    public SimpleVersionedSerializer<NoSplit> getSplitSerializer() {
        return new Nothing<>();
    }

    @Override
    public SimpleVersionedSerializer<Void> getEnumeratorCheckpointSerializer() {
        return new Nothing<>();
    }

    private static final class Nothing<E> implements SimpleVersionedSerializer<E> {
        @Override
        public int getVersion() {
            return 1;
        }

        @Override
        public byte[] serialize(E value) {
            return new byte[0];
        }

        @Override
        public E deserialize(int version, byte[] bytes) {
            return null;
        }
    }
}
