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
-- not expressible: declared difference: ISO counts a row that D binds, the case counts it and sums it as 0

-- case flink-mr-testUserDefinedFunctions
-- not expressible: functions of a user's own are registered by a program, not by rule text

-- case flink-mr-testEventsAreProperlyOrdered
-- not expressible: rows come by event time, those of one time as they arrived; no second sort key

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

-- case siddhi-EveryAbsentPattern-testQueryAbsent44
-- not expressible: declared: EVERY (a AND NOT n) begins again after n, as Esper has it

-- case siddhi-LogicalPattern-testQuery5
-- not expressible: declared: a record is one step of AND, not two

-- case siddhi-LogicalAbsentPattern-testQueryAbsent5_2
-- not expressible: the case does not say how long its source waits after the last event

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
-- not expressible: declared: a row behind the watermark is late and not joined, nor padded

-- case flink-temporal-join-inner flink-temporal-join-left
-- not expressible: versions that a delete ends: as-of joins are not in the runner yet

-- case flink-session-window-merge-late-restore
-- not expressible: rows of a session one by one: a group window has one result

-- case flink-hop-assign-offset0 flink-hop-assign-offset100
-- not expressible: times before 1970

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

-- case asof-inner-lt asof-inner-gt asof-inner-ge asof-inner-le asof-left-le asof-left-lt asof-left-gt
-- not expressible: as-of joins are not in the runner yet

-- case asof-left-ge
-- not expressible: as-of joins are not in the runner yet

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

-- case esper-x-mr-interval
-- not expressible: declared difference 7: a match waits for the row that ends it, not for a time

-- case esper-x-mr-interval-multi
-- not expressible: declared difference 7: a match waits for the row that ends it, not for a time

-- case esper-x-ext-timed-batch-noref
-- not expressible: batches that the first row aligns, with what left the batch before

-- case feldera-q7-window_boundary_lower feldera-q7-window_boundary_above
-- lateness: 4s
CREATE ACTION say (c0 BIGINT, c1 TIMESTAMP(9));
CREATE VIEW top AS SELECT max(price) AS price, window_start FROM bid
GROUP BY tumble(ts, INTERVAL '10' SECOND);
INSERT INTO say SELECT b.price, b.ts FROM bid b JOIN top t ON b.price = t.price
  AND t.ts_event BETWEEN b.ts_event AND b.ts_event + INTERVAL '10' SECOND
WHERE b.ts >= t.window_start;
