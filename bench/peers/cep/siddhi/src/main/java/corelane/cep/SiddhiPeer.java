package corelane.cep;

import io.siddhi.core.SiddhiAppRuntime;
import io.siddhi.core.SiddhiManager;
import io.siddhi.core.event.Event;
import io.siddhi.core.stream.input.InputHandler;
import io.siddhi.core.stream.output.StreamCallback;
import java.util.List;
import java.util.Map;

/**
 * Siddhi: events as object arrays through an input handler, one by one, in playback (event time);
 * synchronous, so one thread; without statistics.
 */
public final class SiddhiPeer implements Peer {
    private static final String HEAD =
        """
        @app:name('peer') @app:playback
        define stream Left (ts long, key long, value long, kind int, symbol string);
        define stream Right (ts long, key long, value long, kind int, symbol string);
        """;
    /** Ways to write each query; the first is the fastest. */
    private static final Map<String, List<String>> TEXTS = Map.of(
        "velocity", List.of(
            """
            from Left#window.externalTime(ts, 60 sec)
            select key, ts, count() as n, sum(value) as total group by key
            having n > 12 and total > 60000 insert into Out;""",
            """
            partition with (key of Left) begin
            from Left#window.externalTime(ts, 60 sec)
            select key, ts, count() as n, sum(value) as total
            having n > 12 and total > 60000 insert into Out; end;"""),
        "tumble", List.of(
            """
            from Left#window.externalTimeBatch(ts, 1 sec, 0)
            select symbol, sum(value) as total group by symbol insert into Out;"""),
        "pattern", List.of(
            """
            partition with (key of Left) begin
            from every e1=Left[kind == 1] -> e2=Left[kind == 2 and value > e1.value]
            -> e3=Left[kind == 3 and value > e2.value and ts - e1.ts < 10000] within 10 sec
            select e1.key as key, e1.ts as a, e2.ts as b, e3.ts as c insert into Out; end;"""),
        "join", List.of(
            """
            partition with (key of Left, key of Right) begin
            from Left#window.externalTime(ts, 500 milliseconds) as a
            join Right#window.externalTime(ts, 500 milliseconds) as b
            on a.ts - b.ts < 500 and b.ts - a.ts < 500
            select a.key as key, a.ts as x, b.ts as y insert into Out; end;""",
            """
            from Left#window.externalTime(ts, 500 milliseconds) as a
            join Right#window.externalTime(ts, 500 milliseconds) as b
            on a.key == b.key and a.ts - b.ts < 500 and b.ts - a.ts < 500
            select a.key as key, a.ts as x, b.ts as y insert into Out;"""));

    private final String query;
    private final String text;
    private Events events;
    private InputHandler left;
    private InputHandler right;

    public SiddhiPeer(String query, int variant) {
        this.query = query;
        text = TEXTS.get(query).get(Math.max(variant, 0));
    }

    @Override
    public String name() {
        return "Siddhi";
    }

    @Override
    public String version() {
        return Peer.versionOf(SiddhiManager.class);
    }

    @Override
    public String text() {
        return text;
    }

    @Override
    public void start(Events events, Results results) throws Exception {
        this.events = events;
        SiddhiAppRuntime runtime = new SiddhiManager().createSiddhiAppRuntime(HEAD + text);
        runtime.addCallback("Out", new StreamCallback() {
            @Override
            public void receive(Event[] rows) {
                for (Event row : rows) {
                    add(results, row.getData());
                }
            }
        });
        runtime.start();
        left = runtime.getInputHandler("Left");
        right = runtime.getInputHandler("Right");
    }

    private void add(Results results, Object[] row) {
        switch (query) {
            case "tumble" -> results.add((String) row[0], (Long) row[1]);
            case "join" -> results.add((Long) row[0], (Long) row[1], (Long) row[2]);
            default -> results.add((Long) row[0], (Long) row[1], (Long) row[2], (Long) row[3]);
        }
    }

    private void send(InputHandler to, long ts, long key, long value, int kind) throws Exception {
        to.send(ts, new Object[] {ts, key, value, kind, events.symbolFor(query, key)});
    }

    @Override
    public void pass(long shift) throws Exception {
        Events events = this.events;
        boolean join = query.equals("join");
        for (int i = 0; i < events.count; i++) {
            int kind = events.kind[i];
            InputHandler to = join && kind != 0 ? right : left;
            send(to, events.ts[i] + shift, events.key[i], events.value[i], kind);
        }
    }

    @Override
    public void end(long shift) throws Exception {
        long ts = events.ts[events.count - 1] + shift + AFTER_MS;
        send(left, ts, events.lastKey(), 0, 0);
    }
}
