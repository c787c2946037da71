-- Rules for cases whose query is not translated: see written.rs.

-- case flink-mr-testSimplePattern
CREATE ACTION say (c0 BIGINT, c1 BIGINT, c2 BIGINT);
INSERT INTO say SELECT x, y, z FROM T MATCH_RECOGNIZE (
  ORDER BY ts MEASURES A.id AS x, B.id AS y, C.id AS z
  PATTERN (A B C) DEFINE A AS name = 'a', B AS name = 'b', C AS name = 'c');

-- case flink-mr-testLogicalOffsets
CREATE ACTION say (c0 BIGINT, c1 BIGINT, c2 BIGINT, c3 BIGINT, c4 BIGINT);
INSERT INTO say SELECT v, w, x, y, z FROM T MATCH_RECOGNIZE (
  MEASURES first(DOWN.tstamp) AS v, last(DOWN.tstamp) AS w, UP.tstamp AS x,
           first(DOWN.price + DOWN.tax + 1) AS y, UP.price + UP.tax AS z
  PATTERN (DOWN{2,} UP)
  DEFINE DOWN AS price < last(DOWN.price, 1) OR last(DOWN.price, 1) IS NULL,
         UP AS price < first(DOWN.price));

-- case flink-mr-testLogicalOffsetsWithStarVariable
-- end
CREATE ACTION say (
  c00 BIGINT, c01 BIGINT, c02 BIGINT, c03 BIGINT, c04 BIGINT, c05 BIGINT, c06 BIGINT, c07 BIGINT,
  c08 BIGINT, c09 BIGINT, c10 BIGINT, c11 BIGINT, c12 BIGINT, c13 BIGINT, c14 BIGINT, c15 BIGINT);
INSERT INTO say SELECT a0, a1, a2, a3, a4, a5, a6, a7, z0, z1, z2, z3, z4, z5, z6, z7
FROM T MATCH_RECOGNIZE (
  MEASURES first(id, 0) AS a0, first(id, 1) AS a1, first(id, 2) AS a2, first(id, 3) AS a3,
           first(id, 4) AS a4, first(id, 5) AS a5, first(id, 6) AS a6, first(id, 7) AS a7,
           last(id, 0) AS z0, last(id, 1) AS z1, last(id, 2) AS z2, last(id, 3) AS z3,
           last(id, 4) AS z4, last(id, 5) AS z5, last(id, 6) AS z6, last(id, 7) AS z7
  PATTERN (DOWN{2,} UP)
  DEFINE DOWN AS price < last(price, 1) OR last(price, 1) IS NULL,
         UP AS price = first(price) AND price > first(price, 3) AND price = last(price, 7));

-- case flink-mr-testAggregates
-- answer: rows_flink
-- `D?` prefers none there, which is `D??` here; `weightedAvg` is written out.
CREATE ACTION say (c0 BIGINT, c1 BIGINT, c2 BIGINT, c3 BIGINT, c4 DOUBLE, c5 DOUBLE, c6 DOUBLE,
                   c7 BIGINT);
INSERT INTO say SELECT a, b, c, d, e, f, g, h FROM T MATCH_RECOGNIZE (
  MEASURES first(id) AS a, sum(A.price) AS b, count(D.price) AS c, sum(D.price) AS d,
           sum(price * weight) / sum(weight) AS e, avg(B.price) AS f,
           sum(B.price * B.rate) AS g, last(id) AS h
  ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A+ B+ C D?? E)
  DEFINE A AS sum(A.price) < 6,
         B AS sum(B.price * B.rate) < sum(A.price) AND sum(B.price * B.rate) > 0.2e0
              AND sum(B.price) >= 1 AND avg(B.price) >= 1
              AND sum(price * weight) / sum(weight) > 1);

-- case flink-mr-testUserDefinedFunctions
-- not expressible: functions of a user's own are registered by a program, not by rule text

-- case flink-mr-testEventsAreProperlyOrdered
-- time: rowtime
-- lateness: 1ms
-- end
CREATE ACTION say (c0 BIGINT, c1 BIGINT, c2 BIGINT);
INSERT INTO say SELECT x, y, z FROM T MATCH_RECOGNIZE (
  ORDER BY ts, secondaryOrder DESC, ternaryOrder ASC
  MEASURES A.id AS x, B.id AS y, C.id AS z
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A B C) DEFINE A AS name = 'a', B AS name = 'b', C AS name = 'c');

-- case duckdb-mr-4.3-table2-one-row
-- end
CREATE ACTION say (c0 VARCHAR(8), c1 BIGINT, c2 BIGINT, c3 BIGINT, c4 BIGINT, c5 DOUBLE);
INSERT INTO say SELECT symbol, n, v, w, x, y FROM T MATCH_RECOGNIZE (
  PARTITION BY symbol ORDER BY ts
  MEASURES match_number() AS n, A.price AS v, last(B.price) AS w, last(C.price) AS x,
           avg(U.price) AS y
  ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A B+ C+) WITHIN INTERVAL '1' MINUTE SUBSET U = (A, B, C)
  DEFINE B AS price < prev(price), C AS price > prev(price));

-- case duckdb-mr-4.4-table3-all-rows
-- end
CREATE ACTION say (c0 BIGINT, c1 VARCHAR(10), c2 BIGINT, c3 VARCHAR(2));
INSERT INTO say SELECT n, tradeday, price, what FROM T MATCH_RECOGNIZE (
  PARTITION BY symbol ORDER BY ts
  MEASURES match_number() AS n, classifier() AS what
  ALL ROWS PER MATCH AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A B+ C+) WITHIN INTERVAL '1' MINUTE
  DEFINE B AS price < prev(price), C AS price > prev(price));

-- case duckdb-mr-4.12.2-table6-empty-matches
-- end
CREATE ACTION say (c0 VARCHAR(8), c1 BIGINT, c2 BIGINT, c3 BIGINT);
INSERT INTO say SELECT symbol, n, x, y FROM T MATCH_RECOGNIZE (
  PARTITION BY symbol ORDER BY ts
  MEASURES match_number() AS n, first(A.price) AS x, last(A.price) AS y
  PATTERN (A*) WITHIN INTERVAL '1' MINUTE
  DEFINE A AS price > prev(price));

-- case duckdb-mr-4.10-alternation-subset-counts
CREATE ACTION say (c0 BIGINT, c1 BIGINT, c2 BIGINT, c3 BIGINT, c4 BIGINT);
INSERT INTO say SELECT v, w, x, y, z FROM T MATCH_RECOGNIZE (
  MEASURES count(A.price) AS v, count(B.price) AS w, count(C.price) AS x, count(D.price) AS y,
           count(S.price) AS z
  PATTERN (A+ (B+ | C+) D) SUBSET S = (B, D)
  DEFINE A AS price <= 20, B AS price IN (30, 40), C AS price = 99, D AS price = 50);

-- case duckdb-mr-skip-to-last-B
CREATE ACTION say (c0 BIGINT);
INSERT INTO say SELECT n FROM T MATCH_RECOGNIZE (
  MEASURES count(*) AS n AFTER MATCH SKIP TO LAST B
  PATTERN (A+ B) DEFINE A AS price > 0, B AS price <= 0);

-- case duckdb-mr-signin-5-denied-within-hour-then-granted
CREATE ACTION say (c0 VARCHAR(8), c1 BIGINT, c2 BIGINT, c3 BIGINT, c4 BIGINT);
INSERT INTO say SELECT account, w, x, y, n FROM T MATCH_RECOGNIZE (
  PARTITION BY account
  MEASURES first(BAD.minute) AS w, last(BAD.minute) AS x, GOOD.minute AS y, count(BAD.*) AS n
  PATTERN (BAD{5,} GOOD)
  DEFINE BAD AS outcome = 'DENIED' AND minute <= first(BAD.minute) + 60,
         GOOD AS outcome = 'GRANTED');

-- case duckdb-mr-dip3-rise3
-- end
CREATE ACTION say (c0 VARCHAR(8), c1 BIGINT, c2 BIGINT, c3 DOUBLE, c4 DOUBLE, c5 DOUBLE);
INSERT INTO say SELECT ticker, v, w, x, y, z FROM T MATCH_RECOGNIZE (
  PARTITION BY ticker
  MEASURES first(DIP.minute) AS v, last(RISE.minute) AS w, first(DIP.price) AS x,
           min(DIP.price) AS y, last(RISE.price) AS z
  PATTERN (DIP{3,} RISE{3,}) WITHIN INTERVAL '1' MINUTE
  DEFINE DIP AS price < prev(price), RISE AS price > prev(price));

-- case duckdb-mr-greedy-gives-back-last-row
CREATE ACTION say (c0 VARCHAR(8), c1 BIGINT, c2 BIGINT, c3 BIGINT, c4 BIGINT, c5 DOUBLE);
INSERT INTO say SELECT pump, v, w, x, y, z FROM T MATCH_RECOGNIZE (
  PARTITION BY pump
  MEASURES first(WARM.minute) AS v, JOLT.minute AS w, first(WARM.celsius) AS x,
           last(WARM.celsius) AS y, JOLT.shake AS z
  PATTERN (WARM{4,} JOLT)
  DEFINE WARM AS celsius > prev(celsius), JOLT AS shake > prev(shake) * 1.5);

-- case esper-mr-ReluctantZeroToOne
-- end
CREATE ACTION say (c0 VARCHAR(8), c1 VARCHAR(8));
INSERT INTO say SELECT x, y FROM T MATCH_RECOGNIZE (
  MEASURES A.id AS x, B.id AS y PATTERN (A?? B?)
  DEFINE A AS value = 1, B AS value = 1);

-- case esper-mr-ReluctantZeroToMany
CREATE ACTION say (
  c0 VARCHAR(8), c1 VARCHAR(8), c2 VARCHAR(8), c3 VARCHAR(8), c4 VARCHAR(8));
INSERT INTO say SELECT v, w, x, y, z FROM T MATCH_RECOGNIZE (
  MEASURES first(A.id, 0) AS v, first(A.id, 1) AS w, first(A.id, 2) AS x, B.id AS y, C.id AS z
  PATTERN (A*? B? C) DEFINE A AS value = 1, B AS value IN (1, 2), C AS value = 3);

-- case esper-x-mr-skip-next-row
-- columns: on row0 row1
-- not expressible: rows are told by name

-- case esper-PatternObserverTimerInterval-07
-- not expressible: declared: a deadline that repeats counts from its time, not from the next look at the clock

-- case esper-PatternOperatorMatchUntil-48
-- not expressible: no second implementation reproduces it: EVERY would begin again before UNTIL

-- case siddhi-EveryAbsentPattern-testQueryAbsent44 siddhi-EveryAbsentPattern-testQueryAbsent46
-- not expressible: declared: EVERY (a AND NOT n) begins again after n, as Esper has it

-- case siddhi-LogicalPattern-testQuery5
-- not expressible: declared: a record is one step of AND, not two

-- case siddhi-LogicalAbsentPattern-testQueryAbsent5_2
CREATE ACTION say (c0 VARCHAR(16), c1 VARCHAR(16));
CREATE RULE r ON Stream1, Stream2, Stream3
  MATCH e1:Stream1(price > 10) -> (NOT Stream2(price > 20) FOR INTERVAL '1' SECOND
                                   AND e3:Stream3(price > 30))
  THEN say(e1.symbol, e3.symbol);

-- case siddhi-AbsentSequence-testQueryAbsent6
-- not expressible: declared: MATCH begins again until it has matched, as Siddhi does with `->`

-- case flink-ij-inner-common-bounds
-- lateness: 15ms
CREATE ACTION say (c0 TIMESTAMP(9), c1 VARCHAR(8), c2 TIMESTAMP(9), c3 VARCHAR(8));
INSERT INTO say SELECT a.ts, a.k, b.ts, b.k FROM L a JOIN R b ON a.k = b.k
  AND a.ts BETWEEN b.ts - INTERVAL '10' MILLISECOND AND b.ts + INTERVAL '20' MILLISECOND;

-- case flink-ij-inner-negative-bounds
-- lateness: 15ms
CREATE ACTION say (c0 TIMESTAMP(9), c1 VARCHAR(8), c2 TIMESTAMP(9), c3 VARCHAR(8));
INSERT INTO say SELECT a.ts, a.k, b.ts, b.k FROM L a JOIN R b ON a.k = b.k
  AND a.ts BETWEEN b.ts - INTERVAL '10' MILLISECOND AND b.ts - INTERVAL '7' MILLISECOND;

-- case flink-ij-left-outer
-- watermarks: 60
-- lateness: 60ms
CREATE ACTION say (c0 TIMESTAMP(9), c1 VARCHAR(8), c2 TIMESTAMP(9), c3 VARCHAR(8));
INSERT INTO say SELECT a.ts, a.k, b.ts, b.k FROM L a LEFT JOIN R b ON a.k = b.k
  AND a.ts BETWEEN b.ts - INTERVAL '5' MILLISECOND AND b.ts + INTERVAL '9' MILLISECOND;
INSERT INTO say SELECT ts, k, NULL, NULL FROM L.late;

-- case flink-temporal-join-inner
-- lateness: 20ms
-- end
CREATE ACTION say (
  c0 TIMESTAMP(9), c1 VARCHAR(8), c2 VARCHAR(8), c3 TIMESTAMP(9), c4 VARCHAR(8), c5 VARCHAR(8));
INSERT INTO say SELECT a.ts, a.k, a.v, b.ts, b.k, b.v
FROM L a ASOF JOIN R b MATCH_CONDITION (a.ts >= b.ts) ON a.k = b.k
WHERE b.op IN ('+I', '+U');

-- case flink-temporal-join-left
-- lateness: 20ms
-- end
CREATE ACTION say (
  c0 TIMESTAMP(9), c1 VARCHAR(8), c2 VARCHAR(8), c3 TIMESTAMP(9), c4 VARCHAR(8), c5 VARCHAR(8));
INSERT INTO say SELECT a.ts, a.k, a.v,
  CASE WHEN b.op IN ('+I', '+U') THEN b.ts END,
  CASE WHEN b.op IN ('+I', '+U') THEN b.k END,
  CASE WHEN b.op IN ('+I', '+U') THEN b.v END
FROM L a LEFT ASOF JOIN R b MATCH_CONDITION (a.ts >= b.ts) ON a.k = b.k;

-- case flink-session-window-merge-late-restore
-- watermarks: 3000
-- lateness: 3s
CREATE ACTION say (
  c0 VARCHAR(8), c1 BIGINT, c2 TIMESTAMP(9), c3 TIMESTAMP(9), c4 TIMESTAMP(9));
CREATE VIEW sessions AS SELECT k, window_start AS began, window_end AS ended,
  min(seq) AS oldest, max(seq) AS newest
FROM E GROUP BY k, session(ts, INTERVAL '3' SECOND);
INSERT INTO say SELECT e.k, e.v, e.ts, s.began, s.ended FROM E e JOIN sessions s ON e.k = s.k
  AND s.ts_event BETWEEN e.ts AND e.ts + INTERVAL '1' MINUTE
WHERE e.ts >= s.began AND e.ts < s.ended AND e.seq BETWEEN s.oldest AND s.newest
WITH (lateness = '3s');

-- case flink-hop-assign-offset0
-- end
CREATE ACTION say (c0 TIMESTAMP(9), c1 BIGINT, c2 BIGINT);
INSERT INTO say SELECT ts, CAST(window_start AS BIGINT) / 1000000,
  CAST(window_end AS BIGINT) / 1000000
FROM E GROUP BY ts, hop(ts, INTERVAL '1' SECOND, INTERVAL '5' SECOND);

-- case flink-hop-assign-offset100
-- end
CREATE ACTION say (c0 TIMESTAMP(9), c1 BIGINT, c2 BIGINT);
INSERT INTO say SELECT ts, CAST(window_start AS BIGINT) / 1000000,
  CAST(window_end AS BIGINT) / 1000000
FROM E GROUP BY ts,
  hop(ts, INTERVAL '1' SECOND, INTERVAL '5' SECOND, INTERVAL '100' MILLISECOND);

-- case asof-inner-lt
-- time: t
-- lateness: 50ms
-- end
CREATE ACTION say (c0 BIGINT, c1 BIGINT, c2 BIGINT, c3 BIGINT);
CREATE VIEW l AS SELECT k, t FROM T1 WHERE t IS NOT NULL;
CREATE VIEW r AS SELECT k, t FROM T2 WHERE t IS NOT NULL;
INSERT INTO say SELECT a.k, a.t, b.k, b.t
FROM l a ASOF JOIN r b MATCH_CONDITION (b.ts_event < a.ts_event) ON a.k = b.k;

-- case asof-inner-gt
-- time: t
-- lateness: 50ms
-- end
CREATE ACTION say (c0 BIGINT, c1 BIGINT, c2 BIGINT, c3 BIGINT);
CREATE VIEW l AS SELECT k, t FROM T1 WHERE t IS NOT NULL;
CREATE VIEW r AS SELECT k, t FROM T2 WHERE t IS NOT NULL;
INSERT INTO say SELECT a.k, a.t, b.k, b.t
FROM l a ASOF JOIN r b MATCH_CONDITION (b.ts_event > a.ts_event) ON a.k = b.k
  AND b.ts_event <= a.ts_event + INTERVAL '1' MINUTE;

-- case asof-inner-ge
-- time: t
-- lateness: 50ms
-- end
CREATE ACTION say (c0 BIGINT, c1 BIGINT, c2 BIGINT, c3 BIGINT);
CREATE VIEW l AS SELECT k, t FROM T1 WHERE t IS NOT NULL;
CREATE VIEW r AS SELECT k, t FROM T2 WHERE t IS NOT NULL;
INSERT INTO say SELECT a.k, a.t, b.k, b.t
FROM l a ASOF JOIN r b MATCH_CONDITION (b.ts_event >= a.ts_event) ON a.k = b.k
  AND b.ts_event <= a.ts_event + INTERVAL '1' MINUTE;

-- case asof-inner-le
-- time: t
-- lateness: 50ms
-- end
CREATE ACTION say (c0 BIGINT, c1 BIGINT, c2 BIGINT, c3 BIGINT);
CREATE VIEW l AS SELECT k, t FROM T1 WHERE t IS NOT NULL;
CREATE VIEW r AS SELECT k, t FROM T2 WHERE t IS NOT NULL;
INSERT INTO say SELECT a.k, a.t, b.k, b.t
FROM l a ASOF JOIN r b MATCH_CONDITION (b.ts_event <= a.ts_event) ON a.k = b.k;

-- case asof-left-lt
-- time: t
-- lateness: 50ms
-- end
CREATE ACTION say (c0 BIGINT, c1 BIGINT, c2 BIGINT, c3 BIGINT);
CREATE VIEW l AS SELECT k, t FROM T1 WHERE t IS NOT NULL;
CREATE VIEW r AS SELECT k, t FROM T2 WHERE t IS NOT NULL;
INSERT INTO say SELECT a.k, a.t, b.k, b.t
FROM l a LEFT ASOF JOIN r b MATCH_CONDITION (b.ts_event < a.ts_event) ON a.k = b.k;
INSERT INTO say SELECT k, t, NULL, NULL FROM T1 WHERE t IS NULL;

-- case asof-left-gt
-- time: t
-- lateness: 50ms
-- end
CREATE ACTION say (c0 BIGINT, c1 BIGINT, c2 BIGINT, c3 BIGINT);
CREATE VIEW l AS SELECT k, t FROM T1 WHERE t IS NOT NULL;
CREATE VIEW r AS SELECT k, t FROM T2 WHERE t IS NOT NULL;
INSERT INTO say SELECT a.k, a.t, b.k, b.t
FROM l a LEFT ASOF JOIN r b MATCH_CONDITION (b.ts_event > a.ts_event) ON a.k = b.k
  AND b.ts_event <= a.ts_event + INTERVAL '1' MINUTE;
INSERT INTO say SELECT k, t, NULL, NULL FROM T1 WHERE t IS NULL;

-- case asof-left-ge
-- time: t
-- lateness: 50ms
-- end
CREATE ACTION say (c0 BIGINT, c1 BIGINT, c2 BIGINT, c3 BIGINT);
CREATE VIEW l AS SELECT k, t FROM T1 WHERE t IS NOT NULL;
CREATE VIEW r AS SELECT k, t FROM T2 WHERE t IS NOT NULL;
INSERT INTO say SELECT a.k, a.t, b.k, b.t
FROM l a LEFT ASOF JOIN r b MATCH_CONDITION (b.ts_event >= a.ts_event) ON a.k = b.k
  AND b.ts_event <= a.ts_event + INTERVAL '1' MINUTE;
INSERT INTO say SELECT k, t, NULL, NULL FROM T1 WHERE t IS NULL;

-- case asof-left-le
-- time: t
-- lateness: 50ms
-- end
CREATE ACTION say (c0 BIGINT, c1 BIGINT, c2 BIGINT, c3 BIGINT);
CREATE VIEW l AS SELECT k, t FROM T1 WHERE t IS NOT NULL;
CREATE VIEW r AS SELECT k, t FROM T2 WHERE t IS NOT NULL;
INSERT INTO say SELECT a.k, a.t, b.k, b.t
FROM l a LEFT ASOF JOIN r b MATCH_CONDITION (b.ts_event <= a.ts_event) ON a.k = b.k;
INSERT INTO say SELECT k, t, NULL, NULL FROM T1 WHERE t IS NULL;

-- case arroyo-global-session
-- end
CREATE ACTION say (c0 TIMESTAMP(9), c1 TIMESTAMP(9), c2 BIGINT);
INSERT INTO say SELECT window_start, window_end, count(*) FROM impulse
GROUP BY session(ts, INTERVAL '20' SECOND);

-- case arroyo-keyed-session
-- end
CREATE ACTION say (c0 TIMESTAMP(9), c1 TIMESTAMP(9), c2 BIGINT, c3 BIGINT);
INSERT INTO say
SELECT window_start, window_end, CASE WHEN counter % 10 = 0 THEN 0 ELSE counter END, count(*)
FROM impulse
GROUP BY CASE WHEN counter % 10 = 0 THEN 0 ELSE counter END, session(ts, INTERVAL '20' SECOND);

-- case arroyo-hop-count-min-max
-- end
CREATE ACTION say (
  c0 BIGINT, c1 BIGINT, c2 BIGINT, c3 TIMESTAMP(9), c4 TIMESTAMP(9));
INSERT INTO say SELECT count(*), min(counter), max(counter), window_start, window_end
FROM impulse GROUP BY hop(ts, INTERVAL '2' SECOND, INTERVAL '10' SECOND);

-- case esper-x-absence-timeout-correlated
-- columns: a
CREATE ACTION say (c0 VARCHAR(8));
CREATE RULE r ON A, B, C
  MATCH EVERY a:A() -> (NOT B(id = a.id) FOR INTERVAL '10' SECOND
                        AND NOT C(id = a.id) FOR INTERVAL '10' SECOND)
  THEN say(a.id);

-- case esper-x-mr-skip-next-row
CREATE ACTION say (c0 VARCHAR(8), c1 VARCHAR(8));
INSERT INTO say SELECT x, y FROM E MATCH_RECOGNIZE (
  MEASURES A.id AS x, B.id AS y AFTER MATCH SKIP TO NEXT ROW
  PATTERN (A B) DEFINE B AS value > A.value) WITH (matches = 'all');

-- case esper-x-rfid-zone-exit
-- columns: a b
CREATE ACTION say (c0 VARCHAR(8), c1 VARCHAR(8));
CREATE RULE r ON R PARTITION BY mac
  MATCH EVERY a:(zone = '1') , b:(zone <> '1') THEN say(a.id, b.id);

-- case esper-x-mr-interval esper-x-mr-interval-multi
-- What is neither A nor B is held until the time is over, and not shown.
CREATE ACTION say (c0 VARCHAR(8), c1 VARCHAR(8), c2 VARCHAR(8), c3 VARCHAR(8));
INSERT INTO say SELECT a, b0, b1, b FROM E MATCH_RECOGNIZE (
  MEASURES A.id AS a, first(B.id, 0) AS b0, first(B.id, 1) AS b1, last(B.id) AS b
  AFTER MATCH SKIP TO NEXT ROW
  PATTERN (A B* {- X* -}) WITHIN INTERVAL '10' SECOND
  DEFINE A AS id LIKE 'A%', B AS id LIKE 'B%');

-- case flink-greedy-testEndWithZeroOrMoreGreedy
-- end
-- What waits for the row that ends it is MATCH_RECOGNIZE's.
CREATE ACTION say (c0 VARCHAR(8), c1 VARCHAR(8), c2 VARCHAR(8), c3 VARCHAR(8));
INSERT INTO say SELECT s, a0, a1, a2 FROM E MATCH_RECOGNIZE (
  MEASURES C.id AS s, first(A.id, 0) AS a0, first(A.id, 1) AS a1, first(A.id, 2) AS a2
  AFTER MATCH SKIP TO NEXT ROW
  PATTERN (C ({- X*? -} A+)?) WITHIN INTERVAL '1' MINUTE
  DEFINE C AS name = 'c', A AS name = 'a', X AS name <> 'a');

-- case esper-x-ext-timed-batch-noref
CREATE ACTION say (c0 VARCHAR(3), c1 VARCHAR(8));
CREATE VIEW told AS SELECT id FROM E WITH (every = '1min');
CREATE VIEW batches AS SELECT count(*) AS n FROM E GROUP BY tumble(ts, INTERVAL '1' MINUTE);
INSERT INTO say SELECT 'new', id FROM told;
INSERT INTO say SELECT 'old', t.id
FROM told t ASOF JOIN batches b MATCH_CONDITION (t.ts_event <= b.ts_event)
  ON b.ts_event <= t.ts_event + INTERVAL '1' DAY;

-- case feldera-q7-window_boundary_lower feldera-q7-window_boundary_above
-- lateness: 4s
CREATE ACTION say (c0 BIGINT, c1 TIMESTAMP(9));
CREATE VIEW top AS SELECT max(price) AS price, window_start FROM bid
GROUP BY tumble(ts, INTERVAL '10' SECOND);
INSERT INTO say SELECT b.price, b.ts FROM bid b JOIN top t ON b.price = t.price
  AND t.ts_event BETWEEN b.ts_event AND b.ts_event + INTERVAL '10' SECOND
WHERE b.ts >= t.window_start;

-- Nexmark: what a table at rest would hold after a day is what windows of a day tell at its end;
-- rows that meet come within a day of each other.

-- case nexmark-rw-q1
CREATE ACTION say (
  c00 BIGINT, c01 BIGINT, c02 DECIMAL(18,3), c03 TIMESTAMP(9));
INSERT INTO say SELECT auction, bidder, 0.908 * price, ts FROM bid;

-- case nexmark-rw-q2
CREATE ACTION say (
  c00 BIGINT, c01 BIGINT);
INSERT INTO say SELECT auction, price FROM bid
WHERE auction IN (1007, 1020, 2001, 2019, 2087);

-- case nexmark-rw-q3
-- end: 2 days
CREATE ACTION say (
  c00 VARCHAR(16), c01 VARCHAR(16), c02 VARCHAR(2), c03 BIGINT);
INSERT INTO say SELECT p.name, p.city, p.state, a.id
FROM auction a JOIN person p ON a.seller = p.id
  AND p.ts BETWEEN a.ts - INTERVAL '1' DAY AND a.ts + INTERVAL '1' DAY
WHERE a.category = 10 AND p.state IN ('or', 'id', 'ca');

-- case nexmark-rw-q4
-- end: 2 days
CREATE ACTION say (
  c00 BIGINT, c01 DECIMAL(18,3));
CREATE VIEW offers AS SELECT a.id AS auction, a.category AS category, b.price AS price
FROM auction a JOIN bid b ON a.id = b.auction
  AND b.ts BETWEEN a.ts AND a.ts + INTERVAL '1' DAY
WHERE b.ts <= a.expires;
CREATE VIEW won AS SELECT auction, category, max(price) AS price
FROM offers GROUP BY auction, category, tumble(ts_event, INTERVAL '1' DAY);
INSERT INTO say SELECT category, avg(price) FROM won GROUP BY category, tumble(ts_event, INTERVAL '1' DAY);

-- case nexmark-rw-q6_group_top1
-- end: 2 days
CREATE ACTION say (
  c00 BIGINT, c01 DECIMAL(18,6));
CREATE VIEW offers AS SELECT a.id AS auction, a.seller AS seller, b.price AS price
FROM auction a JOIN bid b ON a.id = b.auction
  AND b.ts BETWEEN a.ts AND a.ts + INTERVAL '1' DAY
WHERE b.ts <= a.expires;
CREATE VIEW cheapest AS SELECT o.seller AS seller, o.price AS price
FROM offers o ANTI JOIN offers p ON o.auction = p.auction
  AND p.ts_event BETWEEN o.ts_event - INTERVAL '1' DAY AND o.ts_event + INTERVAL '1' DAY
  AND (p.price < o.price OR p.price = o.price AND p.ts_event < o.ts_event);
INSERT INTO say SELECT seller, avg(price) OVER (PARTITION BY seller ROWS 10 PRECEDING)
FROM cheapest;

-- case nexmark-rw-q8
-- end: 2 days
CREATE ACTION say (
  c00 BIGINT, c01 VARCHAR(16), c02 TIMESTAMP(9));
CREATE VIEW registered AS SELECT id, name, window_start AS starttime, window_end AS endtime
FROM person GROUP BY id, name, tumble(ts, INTERVAL '10' SECOND);
CREATE VIEW sellers AS SELECT seller, window_start AS starttime, window_end AS endtime
FROM auction GROUP BY seller, tumble(ts, INTERVAL '10' SECOND);
INSERT INTO say SELECT p.id, p.name, p.starttime FROM registered p JOIN sellers a
  ON p.id = a.seller AND p.starttime = a.starttime AND p.endtime = a.endtime;

-- case nexmark-rw-q10
CREATE ACTION say (
  c00 BIGINT, c01 BIGINT, c02 BIGINT, c03 TIMESTAMP(9), c04 VARCHAR(10), c05 VARCHAR(5));
INSERT INTO say SELECT auction, bidder, price, ts, to_char(ts, 'YYYY-MM-DD'), to_char(ts, 'HH:MI')
FROM bid;

-- case nexmark-rw-q14
CREATE ACTION say (
  c00 BIGINT, c01 BIGINT, c02 DECIMAL(18,3), c03 VARCHAR(9), c04 TIMESTAMP(9), c05 BIGINT);
INSERT INTO say SELECT auction, bidder, 0.908 * price,
  CASE WHEN EXTRACT(HOUR FROM ts) BETWEEN 8 AND 18 THEN 'dayTime'
       WHEN EXTRACT(HOUR FROM ts) <= 6 OR EXTRACT(HOUR FROM ts) >= 20 THEN 'nightTime'
       ELSE 'otherTime' END,
  ts, length(extra) - length(replace(extra, 'c', ''))
FROM bid WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000;

-- case nexmark-rw-q15
-- end: 2 days
CREATE ACTION say (
  c00 VARCHAR(10), c01 BIGINT, c02 BIGINT, c03 BIGINT, c04 BIGINT, c05 BIGINT, c06 BIGINT,
  c07 BIGINT, c08 BIGINT, c09 BIGINT, c10 BIGINT, c11 BIGINT, c12 BIGINT);
INSERT INTO say SELECT to_char(ts, 'YYYY-MM-DD'),
  count(*),
  count(*) FILTER (WHERE price < 10000),
  count(*) FILTER (WHERE price >= 10000 AND price < 1000000),
  count(*) FILTER (WHERE price >= 1000000),
  count(DISTINCT bidder),
  count(DISTINCT bidder) FILTER (WHERE price < 10000),
  count(DISTINCT bidder) FILTER (WHERE price >= 10000 AND price < 1000000),
  count(DISTINCT bidder) FILTER (WHERE price >= 1000000),
  count(DISTINCT auction),
  count(DISTINCT auction) FILTER (WHERE price < 10000),
  count(DISTINCT auction) FILTER (WHERE price >= 10000 AND price < 1000000),
  count(DISTINCT auction) FILTER (WHERE price >= 1000000)
FROM bid GROUP BY to_char(ts, 'YYYY-MM-DD'), tumble(ts, INTERVAL '1' DAY);

-- case nexmark-rw-q16
-- end: 2 days
CREATE ACTION say (
  c00 VARCHAR(12), c01 VARCHAR(10), c02 VARCHAR(5), c03 BIGINT, c04 BIGINT, c05 BIGINT,
  c06 BIGINT, c07 BIGINT, c08 BIGINT, c09 BIGINT, c10 BIGINT, c11 BIGINT, c12 BIGINT,
  c13 BIGINT, c14 BIGINT);
INSERT INTO say SELECT channel, to_char(ts, 'YYYY-MM-DD'), to_char(max(ts), 'HH:mm'),
  count(*),
  count(*) FILTER (WHERE price < 10000),
  count(*) FILTER (WHERE price >= 10000 AND price < 1000000),
  count(*) FILTER (WHERE price >= 1000000),
  count(DISTINCT bidder),
  count(DISTINCT bidder) FILTER (WHERE price < 10000),
  count(DISTINCT bidder) FILTER (WHERE price >= 10000 AND price < 1000000),
  count(DISTINCT bidder) FILTER (WHERE price >= 1000000),
  count(DISTINCT auction),
  count(DISTINCT auction) FILTER (WHERE price < 10000),
  count(DISTINCT auction) FILTER (WHERE price >= 10000 AND price < 1000000),
  count(DISTINCT auction) FILTER (WHERE price >= 1000000)
FROM bid GROUP BY channel, to_char(ts, 'YYYY-MM-DD'), tumble(ts, INTERVAL '1' DAY);

-- case nexmark-rw-q17
-- end: 2 days
CREATE ACTION say (
  c00 BIGINT, c01 VARCHAR(10), c02 BIGINT, c03 BIGINT, c04 BIGINT, c05 BIGINT, c06 BIGINT,
  c07 BIGINT, c08 DECIMAL(18,6), c09 BIGINT);
INSERT INTO say SELECT auction, to_char(ts, 'YYYY-MM-DD'),
  count(*),
  count(*) FILTER (WHERE price < 10000),
  count(*) FILTER (WHERE price >= 10000 AND price < 1000000),
  count(*) FILTER (WHERE price >= 1000000),
  min(price), max(price), avg(price), sum(price)
FROM bid GROUP BY auction, to_char(ts, 'YYYY-MM-DD'), tumble(ts, INTERVAL '1' DAY);

-- case nexmark-rw-q18
-- end: 2 days
CREATE ACTION say (
  c00 BIGINT, c01 BIGINT, c02 BIGINT, c03 VARCHAR(12), c04 VARCHAR(77), c05 TIMESTAMP(9),
  c06 VARCHAR(80));
INSERT INTO say SELECT b.auction, b.bidder, b.price, b.channel, b.url, b.ts, b.extra
FROM bid b ANTI JOIN bid c ON b.bidder = c.bidder AND b.auction = c.auction
  AND c.ts BETWEEN b.ts AND b.ts + INTERVAL '1' DAY AND (c.ts > b.ts OR c.extra < b.extra);

-- case nexmark-rw-q20
-- not expressible: rows of 700 and more bytes: a record has at most 256, a text 128

-- case nexmark-rw-q21
CREATE ACTION say (
  c00 BIGINT, c01 BIGINT, c02 BIGINT, c03 VARCHAR(12), c04 VARCHAR(16));
INSERT INTO say SELECT auction, bidder, price, channel,
  CASE lower(channel) WHEN 'apple' THEN '0' WHEN 'google' THEN '1' WHEN 'facebook' THEN '2'
       WHEN 'baidu' THEN '3' ELSE split_part(split_part('&' || url, '&channel_id=', 2), '&', 1) END
FROM bid WHERE lower(channel) IN ('apple', 'google', 'facebook', 'baidu')
  OR split_part(split_part('&' || url, '&channel_id=', 2), '&', 1) <> '';

-- case nexmark-rw-q22
CREATE ACTION say (
  c00 BIGINT, c01 BIGINT, c02 BIGINT, c03 VARCHAR(12), c04 VARCHAR(8), c05 VARCHAR(8),
  c06 VARCHAR(8));
INSERT INTO say SELECT auction, bidder, price, channel,
  split_part(url, '/', 4), split_part(url, '/', 5), split_part(url, '/', 6) FROM bid;

-- case nexmark-rw-q101
-- end: 2 days
CREATE ACTION say (
  c00 BIGINT, c01 VARCHAR(20), c02 BIGINT);
CREATE VIEW highest AS SELECT auction, max(price) AS price
FROM bid GROUP BY auction, tumble(ts, INTERVAL '1' DAY);
INSERT INTO say SELECT a.id, a.item_name, b.price FROM auction a LEFT JOIN highest b ON a.id = b.auction
  AND b.ts_event BETWEEN a.ts AND a.ts + INTERVAL '1' DAY;

-- case nexmark-rw-q102
-- end: 2 days
CREATE ACTION say (
  c00 BIGINT, c01 VARCHAR(20), c02 BIGINT);
CREATE VIEW counts AS SELECT auction, count(*) AS n, window_end AS till
FROM bid GROUP BY auction, tumble(ts, INTERVAL '1' DAY);
CREATE VIEW mean AS SELECT count(*) / count(DISTINCT auction) AS n, window_end AS till
FROM bid GROUP BY tumble(ts, INTERVAL '1' DAY);
CREATE VIEW busy AS SELECT c.auction AS auction, c.n AS n
FROM counts c JOIN mean m ON c.till = m.till WHERE c.n >= m.n;
INSERT INTO say SELECT a.id, a.item_name, b.n FROM auction a JOIN busy b ON a.id = b.auction
  AND b.ts_event BETWEEN a.ts AND a.ts + INTERVAL '1' DAY;

-- case nexmark-rw-q103
-- end: 2 days
CREATE ACTION say (
  c00 BIGINT, c01 VARCHAR(20));
CREATE VIEW busy AS SELECT auction
FROM bid GROUP BY auction, tumble(ts, INTERVAL '1' DAY) HAVING count(*) >= 20;
INSERT INTO say SELECT a.id, a.item_name FROM auction a SEMI JOIN busy b ON a.id = b.auction
  AND b.ts_event BETWEEN a.ts AND a.ts + INTERVAL '1' DAY;

-- case nexmark-rw-q104
-- end: 2 days
CREATE ACTION say (
  c00 BIGINT, c01 VARCHAR(20));
CREATE VIEW quiet AS SELECT auction
FROM bid GROUP BY auction, tumble(ts, INTERVAL '1' DAY) HAVING count(*) < 20;
INSERT INTO say SELECT a.id, a.item_name FROM auction a ANTI JOIN quiet b ON a.id = b.auction
  AND b.ts_event BETWEEN a.ts AND a.ts + INTERVAL '1' DAY;

-- case nexmark-rw-q105
-- end: 2 days
CREATE ACTION say (
  c00 BIGINT, c01 VARCHAR(20), c02 BIGINT);
CREATE VIEW offers AS SELECT a.id AS auction, a.item_name AS item
FROM auction a JOIN bid b ON a.id = b.auction
  AND b.ts BETWEEN a.ts AND a.ts + INTERVAL '1' DAY;
CREATE VIEW counts AS SELECT auction, item, count(*) AS n
FROM offers GROUP BY auction, item, tumble(ts_event, INTERVAL '1' DAY);
INSERT INTO say SELECT auction, item, n FROM counts ORDER BY n DESC LIMIT 1000
WITH (every = '24h');

-- case nexmark-rw-q106
-- end: 2 days
CREATE ACTION say (
  c00 BIGINT);
CREATE VIEW offers AS SELECT a.id AS auction, b.price AS price
FROM auction a JOIN bid b ON a.id = b.auction
  AND b.ts BETWEEN a.ts AND a.ts + INTERVAL '1' DAY
WHERE b.ts <= a.expires;
CREATE VIEW won AS SELECT auction, max(price) AS price
FROM offers GROUP BY auction, tumble(ts_event, INTERVAL '1' DAY);
INSERT INTO say SELECT min(price) FROM won GROUP BY tumble(ts_event, INTERVAL '1' DAY);

-- Rate limits of Esper's: rows of the last 5.5 s, told at 1.2 s, 2.2 s and so on; what comes is
-- new, what leaves is old. A sum's change has both: what it is now, and what it was.

-- case esper-ResultSetOutputLimitSimple-tryAssertion12-00
CREATE ACTION say (c0 TIMESTAMP(9), c1 VARCHAR(3), c2 VARCHAR(8), c3 BIGINT, c4 BIGINT);
CREATE VIEW gone AS SELECT symbol, volume, price FROM MarketData WITH (delay = '5500ms');
INSERT INTO say SELECT ts_event, 'new', symbol, volume, price FROM MarketData;
INSERT INTO say SELECT ts_event, 'old', symbol, volume, price FROM gone;

-- case esper-ResultSetOutputLimitSimple-tryAssertion34-01
CREATE ACTION say (c0 TIMESTAMP(9), c1 VARCHAR(3), c2 VARCHAR(8), c3 BIGINT, c4 BIGINT);
CREATE VIEW gone AS SELECT symbol, volume, price FROM MarketData WITH (delay = '5500ms');
INSERT INTO say SELECT ts_event, 'new', symbol, volume, price FROM MarketData WHERE price > 10;
INSERT INTO say SELECT ts_event, 'old', symbol, volume, price FROM gone WHERE price > 10;

-- case esper-ResultSetOutputLimitSimple-tryAssertion56-02
CREATE ACTION say (c0 TIMESTAMP(9), c1 VARCHAR(3), c2 VARCHAR(8), c3 BIGINT, c4 BIGINT);
CREATE VIEW gone AS SELECT symbol, volume, price FROM MarketData WITH (delay = '5500ms');
CREATE VIEW came AS SELECT symbol, volume, price FROM MarketData
WITH (every = '1s', offset = '200ms');
CREATE VIEW went AS SELECT symbol, volume, price FROM gone
WITH (every = '1s', offset = '200ms');
INSERT INTO say SELECT ts_event, 'new', symbol, volume, price FROM came;
INSERT INTO say SELECT ts_event, 'old', symbol, volume, price FROM went;

-- case esper-ResultSetOutputLimitSimple-tryAssertion78-05
CREATE ACTION say (c0 TIMESTAMP(9), c1 VARCHAR(3), c2 VARCHAR(8), c3 BIGINT, c4 BIGINT);
CREATE VIEW gone AS SELECT symbol, volume, price FROM MarketData WITH (delay = '5500ms');
CREATE VIEW came AS SELECT symbol, volume, price FROM MarketData WHERE price > 10
WITH (every = '1s', offset = '200ms');
CREATE VIEW went AS SELECT symbol, volume, price FROM gone WHERE price > 10
WITH (every = '1s', offset = '200ms');
INSERT INTO say SELECT ts_event, 'new', symbol, volume, price FROM came;
INSERT INTO say SELECT ts_event, 'old', symbol, volume, price FROM went;

-- case esper-ResultSetOutputLimitSimple-tryAssertion15_16-07
CREATE ACTION say (c0 TIMESTAMP(9), c1 VARCHAR(3), c2 VARCHAR(8), c3 BIGINT, c4 BIGINT);
CREATE VIEW gone AS SELECT symbol, volume, price FROM MarketData WITH (delay = '5500ms');
CREATE VIEW came AS SELECT symbol, volume, price FROM MarketData WHERE price > 10;
CREATE VIEW came_at AS SELECT window_end AS till FROM came
GROUP BY tumble(ts_event, INTERVAL '1' SECOND, INTERVAL '200' MILLISECOND);
INSERT INTO say SELECT t.till, 'new', r.symbol, r.volume, r.price
FROM came_at t ASOF JOIN came r MATCH_CONDITION (t.ts_event >= r.ts_event) ON TRUE;
CREATE VIEW went AS SELECT symbol, volume, price FROM gone WHERE price > 10;
CREATE VIEW went_at AS SELECT window_end AS till FROM went
GROUP BY tumble(ts_event, INTERVAL '1' SECOND, INTERVAL '200' MILLISECOND);
INSERT INTO say SELECT t.till, 'old', r.symbol, r.volume, r.price
FROM went_at t ASOF JOIN went r MATCH_CONDITION (t.ts_event >= r.ts_event) ON TRUE;

-- case esper-ResultSetOutputLimitSimple-tryAssertion17IRStream-09
CREATE ACTION say (c0 TIMESTAMP(9), c1 VARCHAR(3), c2 VARCHAR(8), c3 BIGINT, c4 BIGINT);
CREATE VIEW gone AS SELECT symbol, volume, price FROM MarketData WITH (delay = '5500ms');
CREATE STREAM moves (what VARCHAR(3), symbol VARCHAR(8), volume BIGINT, price BIGINT);
INSERT INTO moves SELECT 'new', symbol, volume, price FROM MarketData;
INSERT INTO moves SELECT 'old', symbol, volume, price FROM gone;
INSERT INTO say SELECT ts_event, what, symbol, volume, price FROM moves
QUALIFY row_number() OVER (PARTITION BY (CAST(ts_event AS BIGINT) - 200000000) / 1000000000) = 1;

-- case esper-ResultSetOutputLimitRowPerGroup-tryAssertion12-11
CREATE ACTION say (c0 TIMESTAMP(9), c1 VARCHAR(3), c2 VARCHAR(8), c3 BIGINT);
CREATE VIEW gone AS SELECT symbol, volume, price FROM MarketData WITH (delay = '5500ms');
CREATE STREAM moves (n BIGINT, symbol VARCHAR(8), price BIGINT);
INSERT INTO moves SELECT 1, symbol, price FROM MarketData;
INSERT INTO moves SELECT -1, symbol, price FROM gone;
CREATE VIEW changes AS SELECT symbol,
  CASE WHEN sum(n) OVER w > 0 THEN sum(n * price) OVER w END AS total,
  CASE WHEN sum(n) OVER w > n THEN sum(n * price) OVER w - n * price END AS earlier
FROM moves WINDOW w AS (PARTITION BY symbol);
INSERT INTO say SELECT ts_event, 'new', symbol, total FROM changes;
INSERT INTO say SELECT ts_event, 'old', symbol, earlier FROM changes;

-- case esper-ResultSetOutputLimitRowPerGroup-tryAssertion56-13
CREATE ACTION say (c0 TIMESTAMP(9), c1 VARCHAR(3), c2 VARCHAR(8), c3 BIGINT);
CREATE VIEW gone AS SELECT symbol, volume, price FROM MarketData WITH (delay = '5500ms');
CREATE STREAM moves (n BIGINT, symbol VARCHAR(8), price BIGINT);
INSERT INTO moves SELECT 1, symbol, price FROM MarketData;
INSERT INTO moves SELECT -1, symbol, price FROM gone;
CREATE VIEW changes AS SELECT symbol,
  CASE WHEN sum(n) OVER w > 0 THEN sum(n * price) OVER w END AS total,
  CASE WHEN sum(n) OVER w > n THEN sum(n * price) OVER w - n * price END AS earlier
FROM moves WINDOW w AS (PARTITION BY symbol);
CREATE VIEW told AS SELECT symbol, total, earlier FROM changes
WITH (every = '1s', offset = '200ms');
INSERT INTO say SELECT ts_event, 'new', symbol, total FROM told;
INSERT INTO say SELECT ts_event, 'old', symbol, earlier FROM told;

-- case esper-ResultSetOutputLimitRowPerGroup-tryAssertion78-14
CREATE ACTION say (c0 TIMESTAMP(9), c1 VARCHAR(3), c2 VARCHAR(8), c3 BIGINT);
CREATE VIEW gone AS SELECT symbol, volume, price FROM MarketData WITH (delay = '5500ms');
CREATE STREAM moves (n BIGINT, symbol VARCHAR(8), price BIGINT);
INSERT INTO moves SELECT 1, symbol, price FROM MarketData;
INSERT INTO moves SELECT -1, symbol, price FROM gone;
CREATE VIEW changes AS SELECT symbol,
  CASE WHEN sum(n) OVER w > 0 THEN sum(n * price) OVER w END AS total,
  CASE WHEN sum(n) OVER w > n THEN sum(n * price) OVER w - n * price END AS earlier
FROM moves WINDOW w AS (PARTITION BY symbol);
CREATE VIEW told AS SELECT symbol, total, earlier FROM changes
WITH (every = '1s', offset = '200ms');
INSERT INTO say SELECT ts_event, 'new', symbol, total FROM told WHERE total > 50;
INSERT INTO say SELECT ts_event, 'old', symbol, earlier FROM told WHERE earlier > 50;

-- case esper-ResultSetOutputLimitRowPerGroup-tryAssertion9_10-15
CREATE ACTION say (c0 TIMESTAMP(9), c1 VARCHAR(3), c2 VARCHAR(8), c3 BIGINT);
CREATE VIEW gone AS SELECT symbol, volume, price FROM MarketData WITH (delay = '5500ms');
CREATE STREAM moves (n BIGINT, symbol VARCHAR(8), price BIGINT);
INSERT INTO moves SELECT 1, symbol, price FROM MarketData;
INSERT INTO moves SELECT -1, symbol, price FROM gone;
CREATE VIEW changes AS SELECT symbol,
  CASE WHEN sum(n) OVER w > 0 THEN sum(n * price) OVER w END AS total,
  CASE WHEN sum(n) OVER w > n THEN sum(n * price) OVER w - n * price END AS earlier
FROM moves WINDOW w AS (PARTITION BY symbol);
CREATE VIEW told AS SELECT symbol, last_value(total) AS total, window_end AS till
FROM changes GROUP BY symbol WITH (every = '1s', offset = '200ms');
INSERT INTO say SELECT till, 'new', symbol, total FROM told;
INSERT INTO say SELECT till, 'old', symbol, lag(total) OVER (PARTITION BY symbol ROWS 1 PRECEDING)
FROM told;

-- case esper-ResultSetOutputLimitRowPerGroup-tryAssertion13_14-17 esper-ResultSetOutputLimitRowPerGroup-tryAssertion13_14-18
CREATE ACTION say (c0 TIMESTAMP(9), c1 VARCHAR(3), c2 VARCHAR(8), c3 BIGINT);
CREATE VIEW gone AS SELECT symbol, volume, price FROM MarketData WITH (delay = '5500ms');
CREATE STREAM moves (n BIGINT, symbol VARCHAR(8), price BIGINT);
INSERT INTO moves SELECT 1, symbol, price FROM MarketData;
INSERT INTO moves SELECT -1, symbol, price FROM gone;
CREATE VIEW changes AS SELECT symbol,
  CASE WHEN sum(n) OVER w > 0 THEN sum(n * price) OVER w END AS total,
  CASE WHEN sum(n) OVER w > n THEN sum(n * price) OVER w - n * price END AS earlier
FROM moves WINDOW w AS (PARTITION BY symbol);
CREATE VIEW told AS SELECT symbol, last_value(total) AS total, first_value(earlier) AS earlier,
  window_end AS till
FROM changes GROUP BY symbol, tumble(ts_event, INTERVAL '1' SECOND, INTERVAL '200' MILLISECOND);
INSERT INTO say SELECT till, 'new', symbol, total FROM told;
INSERT INTO say SELECT till, 'old', symbol, earlier FROM told;

-- case esper-ResultSetOutputLimitRowPerGroup-tryAssertion15_16-19
CREATE ACTION say (c0 TIMESTAMP(9), c1 VARCHAR(3), c2 VARCHAR(8), c3 BIGINT);
CREATE VIEW gone AS SELECT symbol, volume, price FROM MarketData WITH (delay = '5500ms');
CREATE STREAM moves (n BIGINT, symbol VARCHAR(8), price BIGINT);
INSERT INTO moves SELECT 1, symbol, price FROM MarketData;
INSERT INTO moves SELECT -1, symbol, price FROM gone;
CREATE VIEW changes AS SELECT symbol,
  CASE WHEN sum(n) OVER w > 0 THEN sum(n * price) OVER w END AS total,
  CASE WHEN sum(n) OVER w > n THEN sum(n * price) OVER w - n * price END AS earlier
FROM moves WINDOW w AS (PARTITION BY symbol);
CREATE VIEW told AS SELECT symbol, last_value(total) AS total, first_value(earlier) AS earlier,
  window_end AS till
FROM changes GROUP BY symbol, tumble(ts_event, INTERVAL '1' SECOND, INTERVAL '200' MILLISECOND);
INSERT INTO say SELECT till, 'new', symbol, total FROM told WHERE total > 50;
INSERT INTO say SELECT till, 'old', symbol, earlier FROM told WHERE earlier > 50;

-- case esper-ResultSetOutputLimitRowPerGroup-tryAssertion17-20
CREATE ACTION say (c0 TIMESTAMP(9), c1 VARCHAR(3), c2 VARCHAR(8), c3 BIGINT);
CREATE VIEW gone AS SELECT symbol, volume, price FROM MarketData WITH (delay = '5500ms');
CREATE STREAM moves (n BIGINT, symbol VARCHAR(8), price BIGINT);
INSERT INTO moves SELECT 1, symbol, price FROM MarketData;
INSERT INTO moves SELECT -1, symbol, price FROM gone;
CREATE VIEW changes AS SELECT symbol,
  CASE WHEN sum(n) OVER w > 0 THEN sum(n * price) OVER w END AS total,
  CASE WHEN sum(n) OVER w > n THEN sum(n * price) OVER w - n * price END AS earlier
FROM moves WINDOW w AS (PARTITION BY symbol);
INSERT INTO say SELECT ts_event, 'new', symbol, total FROM changes
QUALIFY row_number() OVER (PARTITION BY symbol, (CAST(ts_event AS BIGINT) - 200000000) / 1000000000) = 1;
INSERT INTO say SELECT ts_event, 'old', symbol, earlier FROM changes
QUALIFY row_number() OVER (PARTITION BY symbol, (CAST(ts_event AS BIGINT) - 200000000) / 1000000000) = 1;

-- case esper-ResultSetOutputLimitRowForAll-tryAssertion12-22
CREATE ACTION say (c0 TIMESTAMP(9), c1 VARCHAR(3), c2 BIGINT);
CREATE VIEW gone AS SELECT price FROM MarketData WITH (delay = '5500ms');
CREATE VIEW gone_at_once AS SELECT count(*) AS n, sum(price) AS price
FROM gone GROUP BY tumble(ts_event, INTERVAL '1' MILLISECOND);
CREATE STREAM moves (n BIGINT, price BIGINT);
INSERT INTO moves SELECT 1, price FROM MarketData;
INSERT INTO moves SELECT -n, -price FROM gone_at_once;
CREATE VIEW changes AS SELECT 'all' AS unit,
  CASE WHEN sum(n) OVER w > 0 THEN sum(price) OVER w END AS total,
  CASE WHEN sum(n) OVER w > n THEN sum(price) OVER w - price END AS earlier
FROM moves WINDOW w AS ();
INSERT INTO say SELECT ts_event, 'new', total FROM changes;
INSERT INTO say SELECT ts_event, 'old', earlier FROM changes;

-- case esper-ResultSetOutputLimitRowForAll-tryAssertion78-25 esper-ResultSetOutputLimitRowForAll-tryAssertion78-27
CREATE ACTION say (c0 TIMESTAMP(9), c1 VARCHAR(3), c2 BIGINT);
CREATE VIEW gone AS SELECT price FROM MarketData WITH (delay = '5500ms');
CREATE VIEW gone_at_once AS SELECT count(*) AS n, sum(price) AS price
FROM gone GROUP BY tumble(ts_event, INTERVAL '1' MILLISECOND);
CREATE STREAM moves (n BIGINT, price BIGINT);
INSERT INTO moves SELECT 1, price FROM MarketData;
INSERT INTO moves SELECT -n, -price FROM gone_at_once;
CREATE VIEW changes AS SELECT 'all' AS unit,
  CASE WHEN sum(n) OVER w > 0 THEN sum(price) OVER w END AS total,
  CASE WHEN sum(n) OVER w > n THEN sum(price) OVER w - price END AS earlier
FROM moves WINDOW w AS ();
CREATE VIEW told AS SELECT total, earlier FROM changes
WITH (every = '1s', offset = '200ms');
INSERT INTO say SELECT ts_event, 'new', total FROM told WHERE total > 100;
INSERT INTO say SELECT ts_event, 'old', earlier FROM told WHERE earlier > 100;

-- case esper-ResultSetOutputLimitRowForAll-tryAssertion56-26
CREATE ACTION say (c0 TIMESTAMP(9), c1 VARCHAR(3), c2 BIGINT);
CREATE VIEW gone AS SELECT price FROM MarketData WITH (delay = '5500ms');
CREATE VIEW gone_at_once AS SELECT count(*) AS n, sum(price) AS price
FROM gone GROUP BY tumble(ts_event, INTERVAL '1' MILLISECOND);
CREATE STREAM moves (n BIGINT, price BIGINT);
INSERT INTO moves SELECT 1, price FROM MarketData;
INSERT INTO moves SELECT -n, -price FROM gone_at_once;
CREATE VIEW changes AS SELECT 'all' AS unit,
  CASE WHEN sum(n) OVER w > 0 THEN sum(price) OVER w END AS total,
  CASE WHEN sum(n) OVER w > n THEN sum(price) OVER w - price END AS earlier
FROM moves WINDOW w AS ();
CREATE VIEW told AS SELECT total, earlier FROM changes
WITH (every = '1s', offset = '200ms');
INSERT INTO say SELECT ts_event, 'new', total FROM told;
INSERT INTO say SELECT ts_event, 'old', earlier FROM told;
CREATE VIEW shown AS SELECT last_value(total) AS total, count(*) AS n, window_end AS till
FROM changes GROUP BY unit WITH (every = '1s', offset = '200ms');
INSERT INTO say SELECT till, 'new', total FROM shown
QUALIFY n = lag(n) OVER (ROWS 1 PRECEDING);
INSERT INTO say SELECT till, 'old', total FROM shown
QUALIFY n = lag(n) OVER (ROWS 1 PRECEDING);

-- case esper-ResultSetOutputLimitRowForAll-tryAssertion13_14-28
CREATE ACTION say (c0 TIMESTAMP(9), c1 VARCHAR(3), c2 BIGINT);
CREATE VIEW gone AS SELECT price FROM MarketData WITH (delay = '5500ms');
CREATE VIEW gone_at_once AS SELECT count(*) AS n, sum(price) AS price
FROM gone GROUP BY tumble(ts_event, INTERVAL '1' MILLISECOND);
CREATE STREAM moves (n BIGINT, price BIGINT);
INSERT INTO moves SELECT 1, price FROM MarketData;
INSERT INTO moves SELECT -n, -price FROM gone_at_once;
CREATE VIEW changes AS SELECT 'all' AS unit,
  CASE WHEN sum(n) OVER w > 0 THEN sum(price) OVER w END AS total,
  CASE WHEN sum(n) OVER w > n THEN sum(price) OVER w - price END AS earlier
FROM moves WINDOW w AS ();
CREATE VIEW shown AS SELECT last_value(total) AS total, count(*) AS n, window_end AS till
FROM changes GROUP BY unit WITH (every = '1s', offset = '200ms');
INSERT INTO say SELECT till, 'new', total FROM shown;
INSERT INTO say SELECT till, 'old', lag(total) OVER (ROWS 1 PRECEDING) FROM shown;

-- case esper-ResultSetOutputLimitRowForAll-tryAssertion17-30
CREATE ACTION say (c0 TIMESTAMP(9), c1 VARCHAR(3), c2 BIGINT);
CREATE VIEW gone AS SELECT price FROM MarketData WITH (delay = '5500ms');
CREATE VIEW gone_at_once AS SELECT count(*) AS n, sum(price) AS price
FROM gone GROUP BY tumble(ts_event, INTERVAL '1' MILLISECOND);
CREATE STREAM moves (n BIGINT, price BIGINT);
INSERT INTO moves SELECT 1, price FROM MarketData;
INSERT INTO moves SELECT -n, -price FROM gone_at_once;
CREATE VIEW changes AS SELECT 'all' AS unit,
  CASE WHEN sum(n) OVER w > 0 THEN sum(price) OVER w END AS total,
  CASE WHEN sum(n) OVER w > n THEN sum(price) OVER w - price END AS earlier
FROM moves WINDOW w AS ();
INSERT INTO say SELECT ts_event, 'new', total FROM changes
QUALIFY row_number() OVER (PARTITION BY (CAST(ts_event AS BIGINT) - 200000000) / 1000000000) = 1;
INSERT INTO say SELECT ts_event, 'old', earlier FROM changes
QUALIFY row_number() OVER (PARTITION BY (CAST(ts_event AS BIGINT) - 200000000) / 1000000000) = 1;

-- case esper-ResultSetOutputLimitRowForAll-tryAssertion18-31
CREATE ACTION say (c0 TIMESTAMP(9), c1 VARCHAR(3), c2 BIGINT);
CREATE VIEW gone AS SELECT price FROM MarketData WITH (delay = '5500ms');
CREATE VIEW gone_at_once AS SELECT count(*) AS n, sum(price) AS price
FROM gone GROUP BY tumble(ts_event, INTERVAL '1' MILLISECOND);
CREATE STREAM moves (n BIGINT, price BIGINT);
INSERT INTO moves SELECT 1, price FROM MarketData;
INSERT INTO moves SELECT -n, -price FROM gone_at_once;
CREATE VIEW changes AS SELECT 'all' AS unit,
  CASE WHEN sum(n) OVER w > 0 THEN sum(price) OVER w END AS total,
  CASE WHEN sum(n) OVER w > n THEN sum(price) OVER w - price END AS earlier
FROM moves WINDOW w AS ();
CREATE VIEW shown AS SELECT last_value(total) AS total, count(*) AS n, window_end AS till
FROM changes GROUP BY unit WITH (every = '1s', offset = '200ms');
INSERT INTO say SELECT till, 'new', total FROM shown;
