package corelane.cep;

import com.espertech.esper.common.client.EPCompiled;
import com.espertech.esper.common.client.EventSender;
import com.espertech.esper.common.client.configuration.Configuration;
import com.espertech.esper.common.client.util.EventTypeBusModifier;
import com.espertech.esper.compiler.client.CompilerArguments;
import com.espertech.esper.compiler.client.EPCompilerProvider;
import com.espertech.esper.runtime.client.EPEventService;
import com.espertech.esper.runtime.client.EPRuntime;
import com.espertech.esper.runtime.client.EPRuntimeProvider;
import java.util.List;
import java.util.Map;

/**
 * Esper: events as beans through an event sender, results to a subscriber, time from without, no
 * timer and no locks (one thread sends), as its chapter on performance recommends.
 */
public final class EsperPeer implements Peer {
    /** Ways to write each query; the first is the fastest. */
    private static final Map<String, List<String>> TEXTS = Map.of(
        "velocity", List.of(
            """
            @name('out') select key, ts, count(*) as n, sum(value) as total
            from LeftEvent#ext_timed(ts, 60 seconds)
            group by key having count(*) > 12 and sum(value) > 60000""",
            """
            @name('out') select key, ts, count(*) as n, sum(value) as total
            from LeftEvent#groupwin(key)#ext_timed(ts, 60 seconds)
            group by key having count(*) > 12 and sum(value) > 60000""",
            """
            create context ByKey partition by key from LeftEvent;
            @name('out') context ByKey select key, ts, count(*) as n, sum(value) as total
            from LeftEvent#ext_timed(ts, 60 seconds)
            having count(*) > 12 and sum(value) > 60000"""),
        "tumble", List.of(
            """
            create context EverySecond start @now end after 1 second;
            @name('out') context EverySecond select symbol, sum(value) as total from LeftEvent
            group by symbol output snapshot when terminated""",
            """
            @name('out') select symbol, sum(value) as total from LeftEvent#ext_timed_batch(ts, 1 second, 0L)
            group by symbol having count(*) > 0"""),
        "pattern", List.of(
            """
            @name('out') select a.key, a.ts, b.ts, c.ts from pattern [
            every a=LeftEvent(kind=1) -> (b=LeftEvent(kind=2, key=a.key, value>a.value)
            -> c=LeftEvent(kind=3, key=a.key, value>b.value)) where timer:within(10 seconds)]""",
            """
            create context ByKey partition by key from LeftEvent;
            @name('out') context ByKey select a.key, a.ts, b.ts, c.ts from pattern [
            every a=LeftEvent(kind=1) -> (b=LeftEvent(kind=2, value>a.value)
            -> c=LeftEvent(kind=3, value>b.value)) where timer:within(10 seconds)]"""),
        "join", List.of(
            """
            @name('out') select a.key, a.ts, b.ts
            from LeftEvent#time(500 milliseconds) as a, RightEvent#time(500 milliseconds) as b
            where a.key = b.key"""));

    /** An event, as a bean. */
    public static class Event {
        private final long ts;
        private final long key;
        private final long value;
        private final int kind;
        private final String symbol;

        Event(long ts, long key, long value, int kind, String symbol) {
            this.ts = ts;
            this.key = key;
            this.value = value;
            this.kind = kind;
            this.symbol = symbol;
        }

        public long getTs() {
            return ts;
        }

        public long getKey() {
            return key;
        }

        public long getValue() {
            return value;
        }

        public int getKind() {
            return kind;
        }

        public String getSymbol() {
            return symbol;
        }
    }

    /** An event of the stream that most queries read. */
    public static final class Left extends Event {
        Left(long ts, long key, long value, int kind, String symbol) {
            super(ts, key, value, kind, symbol);
        }
    }

    /** An event of the stream that it is joined with. */
    public static final class Right extends Event {
        Right(long ts, long key, long value, int kind, String symbol) {
            super(ts, key, value, kind, symbol);
        }
    }

    /** Takes rows of a statement without an object for each. */
    public static final class Velocity {
        private final Results results;

        Velocity(Results results) {
            this.results = results;
        }

        public void update(long key, long ts, long n, long total) {
            results.add(key, ts, n, total);
        }
    }

    /** As {@link Velocity}. */
    public static final class Tumble {
        private final Results results;

        Tumble(Results results) {
            this.results = results;
        }

        public void update(String symbol, Long total) {
            results.add(symbol, total);
        }
    }

    /** As {@link Velocity}. */
    public static final class Pattern {
        private final Results results;

        Pattern(Results results) {
            this.results = results;
        }

        public void update(long key, long a, long b, long c) {
            results.add(key, a, b, c);
        }
    }

    /** As {@link Velocity}. */
    public static final class Join {
        private final Results results;

        Join(Results results) {
            this.results = results;
        }

        public void update(long key, long a, long b) {
            results.add(key, a, b);
        }
    }

    private final String query;
    private final String text;
    private final boolean timed;
    private Events events;
    private EPEventService service;
    private EventSender left;
    private EventSender right;

    public EsperPeer(String query, int variant) {
        this.query = query;
        text = TEXTS.get(query).get(Math.max(variant, 0));
        // Windows by the events' own times need no clock.
        timed = !text.contains("#ext_timed");
    }

    @Override
    public String name() {
        return "Esper";
    }

    @Override
    public String version() {
        return Peer.versionOf(EPRuntime.class);
    }

    @Override
    public String text() {
        return text;
    }

    @Override
    public void start(Events events, Results results) throws Exception {
        this.events = events;
        Configuration configuration = new Configuration();
        configuration.getCommon().addEventType("LeftEvent", Left.class);
        configuration.getCommon().addEventType("RightEvent", Right.class);
        configuration.getCompiler().getByteCode().setAllowSubscriber(true);
        configuration.getCompiler().getByteCode().setAccessModifiersPublic();
        configuration.getCompiler().getByteCode().setBusModifierEventType(EventTypeBusModifier.BUS);
        var threading = configuration.getRuntime().getThreading();
        threading.setInternalTimerEnabled(false);
        threading.setInsertIntoDispatchPreserveOrder(false);
        threading.setListenerDispatchPreserveOrder(false);
        configuration.getRuntime().getExecution().setDisableLocking(true);
        EPRuntime runtime = EPRuntimeProvider.getRuntime("peer", configuration);
        service = runtime.getEventService();
        // Windows of a second begin with one.
        service.advanceTime(events.ts[0] / 1_000 * 1_000);
        EPCompiled compiled =
            EPCompilerProvider.getCompiler().compile(text, new CompilerArguments(configuration));
        var deployment = runtime.getDeploymentService().deploy(compiled);
        var statement =
            runtime.getDeploymentService().getStatement(deployment.getDeploymentId(), "out");
        statement.setSubscriber(
            switch (query) {
                case "velocity" -> new Velocity(results);
                case "tumble" -> new Tumble(results);
                case "pattern" -> new Pattern(results);
                default -> new Join(results);
            });
        left = service.getEventSender("LeftEvent");
        right = service.getEventSender("RightEvent");
    }

    /** Contexts that follow on each other must end in time, not with the next event. */
    private void advance(long ts) {
        if (query.equals("tumble")) {
            service.advanceTimeSpan(ts);
        } else {
            service.advanceTime(ts);
        }
    }

    @Override
    public void pass(long shift) {
        Events events = this.events;
        boolean join = query.equals("join");
        long now = 0;
        for (int i = 0; i < events.count; i++) {
            long ts = events.ts[i] + shift;
            if (timed && ts != now) {
                advance(ts);
                now = ts;
            }
            long key = events.key[i];
            long value = events.value[i];
            int kind = events.kind[i];
            if (join && kind != 0) {
                right.sendEvent(new Right(ts, key, value, kind, events.symbolFor(query, key)));
            } else {
                left.sendEvent(new Left(ts, key, value, kind, events.symbolFor(query, key)));
            }
        }
    }

    @Override
    public void end(long shift) {
        long ts = events.ts[events.count - 1] + shift + AFTER_MS;
        if (timed) {
            advance(ts);
        }
        long key = events.lastKey();
        left.sendEvent(new Left(ts, key, 0, 0, events.symbolFor(query, key)));
    }
}
