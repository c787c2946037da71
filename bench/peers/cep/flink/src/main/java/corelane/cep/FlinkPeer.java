package corelane.cep;

import java.io.Serializable;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Semaphore;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.TypeHint;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple3;
import org.apache.flink.api.java.tuple.Tuple4;
import org.apache.flink.cep.CEP;
import org.apache.flink.cep.functions.PatternProcessFunction;
import org.apache.flink.cep.pattern.Pattern;
import org.apache.flink.cep.pattern.conditions.IterativeCondition;
import org.apache.flink.cep.pattern.conditions.SimpleCondition;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.runtime.util.EnvironmentInformation;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.co.ProcessJoinFunction;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.api.watermark.Watermark;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.api.Schema;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.runtime.typeutils.InternalTypeInfo;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.BigIntType;
import org.apache.flink.table.types.logical.IntType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.VarCharType;
import org.apache.flink.util.Collector;

/**
 * Flink in this process: parallelism 1, object reuse, state on the heap, no checkpoints, watermarks
 * every 200 ms of time (its default) and at the end of a pass. SQL over internal rows, so that
 * nothing is converted; or its DataStream and CEP libraries over tuples.
 */
public final class FlinkPeer implements Peer {
    /** Ways to write each query; the first is the fastest. Those in parentheses are no SQL. */
    private static final Map<String, List<String>> TEXTS = Map.of(
        "velocity", List.of(
            """
            SELECT k, t, n, total FROM (
            SELECT k, t, COUNT(*) OVER w AS n, SUM(v) OVER w AS total FROM events
            WINDOW w AS (PARTITION BY k ORDER BY ts
            RANGE BETWEEN INTERVAL '1' MINUTE PRECEDING AND CURRENT ROW))
            WHERE n > 12 AND total > 60000"""),
        "tumble", List.of(
            """
            SELECT s, SUM(v) AS total
            FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '1' SECOND))
            GROUP BY s, window_start, window_end"""),
        "pattern", List.of(
            """
            (CEP) begin("a") kind=1 followedBy("b") kind=2 and value > a.value
            followedBy("c") kind=3 and value > b.value within(10 s), keyBy(key)"""),
        "join", List.of(
            """
            (DataStream) left.keyBy(key).intervalJoin(right.keyBy(key)).between(-500 ms, 500 ms)""",
            """
            SELECT a.k, a.t, b.t AS u FROM (SELECT * FROM events WHERE kind = 0) a
            JOIN (SELECT * FROM events WHERE kind = 1) b ON a.k = b.k
            AND b.ts BETWEEN a.ts - INTERVAL '0.5' SECOND AND a.ts + INTERVAL '0.5' SECOND"""));

    /** An event as ts, key, value and kind. */
    private static final TypeInformation<Tuple4<Long, Long, Long, Integer>> EVENT =
        TypeInformation.of(new TypeHint<Tuple4<Long, Long, Long, Integer>>() {});

    /** Where the job's last operator, which runs in this process, brings what it sees. */
    static final class Reached {
        static Results results;
        static volatile long target = Long.MAX_VALUE;
        static final Semaphore REACHED = new Semaphore(0);

        private Reached() {}
    }

    private final String query;
    private final String text;
    private Events events;

    public FlinkPeer(String query, int variant) {
        this.query = query;
        text = TEXTS.get(query).get(Math.max(variant, 0));
    }

    @Override
    public String name() {
        return "Flink";
    }

    @Override
    public String version() {
        return EnvironmentInformation.getVersion();
    }

    @Override
    public String text() {
        return text;
    }

    @Override
    public void start(Events events, Results results) throws Exception {
        this.events = events;
        PassSource.Commands.events = events;
        Reached.results = results;
        StreamExecutionEnvironment env =
            StreamExecutionEnvironment.createLocalEnvironment(1, new Configuration());
        env.getConfig().enableObjectReuse();
        if (query.equals("pattern")) {
            pattern(env);
        } else if (text.startsWith("(DataStream)")) {
            join(env);
        } else {
            sql(env);
        }
        env.executeAsync(query);
    }

    private static <T> DataStream<T> source(
            StreamExecutionEnvironment env, PassSource.Maker<T> maker, TypeInformation<T> type) {
        WatermarkStrategy<T> watermarks = WatermarkStrategy.forMonotonousTimestamps();
        return env.fromSource(new PassSource<>(maker), watermarks, "events", type);
    }

    private void sql(StreamExecutionEnvironment env) {
        StreamTableEnvironment tables = StreamTableEnvironment.create(env);
        RowType row = RowType.of(
            new LogicalType[] {
                new BigIntType(), new BigIntType(), new BigIntType(), new IntType(),
                new VarCharType(VarCharType.MAX_LENGTH)},
            new String[] {"t", "k", "v", "kind", "s"});
        boolean named = query.equals("tumble");
        StringData[] symbols = new StringData[(int) events.lastKey() + 1];
        for (int i = 0; named && i < symbols.length; i++) {
            symbols[i] = StringData.fromString(events.symbolOf(i));
        }
        Symbols.of = symbols;
        DataStream<RowData> rows = source(
            env,
            (ts, key, value, kind) ->
                GenericRowData.of(ts, key, value, kind, named ? Symbols.of[(int) key] : null),
            InternalTypeInfo.of(row));
        tables.createTemporaryView("events", rows, Schema.newBuilder()
            .column("t", DataTypes.BIGINT())
            .column("k", DataTypes.BIGINT())
            .column("v", DataTypes.BIGINT())
            .column("kind", DataTypes.INT())
            .column("s", DataTypes.STRING())
            .columnByMetadata("ts", DataTypes.TIMESTAMP_LTZ(3), "rowtime")
            .watermark("ts", "SOURCE_WATERMARK()")
            .build());
        var table = tables.sqlQuery(text);
        DataType type = table.getResolvedSchema().toPhysicalRowDataType().bridgedTo(RowData.class);
        DataStream<RowData> out = tables.toDataStream(table, type);
        switch (query) {
            case "velocity" -> finish(out, (results, r) ->
                results.add(r.getLong(0), r.getLong(1), r.getLong(2), r.getLong(3)));
            case "tumble" -> finish(out, (results, r) ->
                results.add(r.getString(0).toString(), r.getLong(1)));
            default -> finish(out, (results, r) ->
                results.add(r.getLong(0), r.getLong(1), r.getLong(2)));
        }
    }

    /** Symbols as Flink's strings, made once. */
    private static final class Symbols {
        static StringData[] of;
    }

    private void pattern(StreamExecutionEnvironment env) {
        var stream = source(env, Tuple4::of, EVENT).keyBy(event -> event.f1);
        Pattern<Tuple4<Long, Long, Long, Integer>, ?> pattern =
            Pattern.<Tuple4<Long, Long, Long, Integer>>begin("a")
                .where(SimpleCondition.of(event -> event.f3 == 1))
                .followedBy("b").where(new Grows(2, "a"))
                .followedBy("c").where(new Grows(3, "b"))
                .within(Duration.ofSeconds(10));
        var out = CEP.pattern(stream, pattern).inEventTime().process(
            new PatternProcessFunction<
                    Tuple4<Long, Long, Long, Integer>, Tuple4<Long, Long, Long, Long>>() {
                @Override
                public void processMatch(
                        Map<String, List<Tuple4<Long, Long, Long, Integer>>> match,
                        Context context,
                        Collector<Tuple4<Long, Long, Long, Long>> out) {
                    var a = match.get("a").get(0);
                    out.collect(Tuple4.of(
                        a.f1, a.f0, match.get("b").get(0).f0, match.get("c").get(0).f0));
                }
            });
        finish(out, (results, row) -> results.add(row.f0, row.f1, row.f2, row.f3));
    }

    /** Of a kind, and of a greater value than the event of an earlier step. */
    private static final class Grows extends IterativeCondition<Tuple4<Long, Long, Long, Integer>> {
        private final int kind;
        private final String than;

        Grows(int kind, String than) {
            this.kind = kind;
            this.than = than;
        }

        @Override
        public boolean filter(
                Tuple4<Long, Long, Long, Integer> event,
                Context<Tuple4<Long, Long, Long, Integer>> context) throws Exception {
            return event.f3 == kind
                && event.f2 > context.getEventsForPattern(than).iterator().next().f2;
        }
    }

    private void join(StreamExecutionEnvironment env) {
        var stream = source(env, Tuple4::of, EVENT);
        var left = stream.filter(event -> event.f3 == 0).keyBy(event -> event.f1);
        var right = stream.filter(event -> event.f3 == 1).keyBy(event -> event.f1);
        var out = left.intervalJoin(right)
            .between(Duration.ofMillis(-500), Duration.ofMillis(500))
            .process(new ProcessJoinFunction<
                    Tuple4<Long, Long, Long, Integer>,
                    Tuple4<Long, Long, Long, Integer>,
                    Tuple3<Long, Long, Long>>() {
                @Override
                public void processElement(
                        Tuple4<Long, Long, Long, Integer> a,
                        Tuple4<Long, Long, Long, Integer> b,
                        Context context,
                        Collector<Tuple3<Long, Long, Long>> out) {
                    out.collect(Tuple3.of(a.f1, a.f0, b.f0));
                }
            });
        finish(out, (results, row) -> results.add(row.f0, row.f1, row.f2));
    }

    /** Folds a row into the results. */
    private interface Adder<T> extends Serializable {
        void add(Results results, T row);
    }

    private static <T> void finish(DataStream<T> out, Adder<T> adder) {
        out.transform("results", Types.VOID, new Last<>(adder));
    }

    /** Takes rows, and tells when a pass's last watermark has come. */
    private static final class Last<T> extends AbstractStreamOperator<Void>
            implements OneInputStreamOperator<T, Void> {
        private final Adder<T> adder;

        Last(Adder<T> adder) {
            this.adder = adder;
        }

        @Override
        public void processElement(StreamRecord<T> row) {
            adder.add(Reached.results, row.getValue());
        }

        @Override
        public void processWatermark(Watermark mark) throws Exception {
            super.processWatermark(mark);
            if (mark.getTimestamp() >= Reached.target) {
                Reached.target = Long.MAX_VALUE;
                Reached.REACHED.release();
            }
        }
    }

    private void run(long target, PassSource.Command command) throws Exception {
        Reached.target = target;
        PassSource.Commands.put(command);
        Reached.REACHED.acquire();
    }

    @Override
    public void pass(long shift) throws Exception {
        run(events.ts[events.count - 1] + shift, new PassSource.Command(shift, false));
    }

    @Override
    public void end(long shift) throws Exception {
        long ts = events.ts[events.count - 1] + shift + AFTER_MS;
        run(ts, new PassSource.Command(shift, true));
    }
}
