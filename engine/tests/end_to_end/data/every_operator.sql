-- Every kind of state that rules keep, over the books of a generated session.
CREATE ACTION note (what VARCHAR(16), symbol SYMBOL, n BIGINT, x PRICE);
CREATE STREAM big (symbol SYMBOL, qty BIGINT, at TIMESTAMP(9)) WITH (key = 'symbol', time = 'at');
CREATE TABLE watched (symbol SYMBOL, least BIGINT) WITH (key = 'symbol', file = 'watched.csv');

-- Windows of records: by time, by rows, unbounded, with distinct values, buckets and moving means.
CREATE RULE velocity ON book.order PARTITION BY symbol
  WHEN count(*) OVER (RANGE INTERVAL '100' MILLISECOND PRECEDING) % 7 = 0
  THEN note('velocity', symbol, sum(qty) OVER (RANGE INTERVAL '100' MILLISECOND PRECEDING),
    max(price) OVER (ROWS 9 PRECEDING));
CREATE RULE spread_out ON book.order PARTITION BY symbol, side
  WHEN kind = 'A' AND count(DISTINCT price) OVER (ROWS 49 PRECEDING) > 12
  THEN note('spread_out', symbol, approx_count_distinct(order_ref) OVER (ROWS UNBOUNDED PRECEDING),
    percentile(price, 0.9) OVER (RANGE INTERVAL '2' SECOND PRECEDING));
CREATE RULE drift WITH (mode = 'shadow') ON book.bbo PARTITION BY symbol
  WHEN bid > 0 AND bid > ewma(bid, INTERVAL '1' SECOND) OVER (ROWS 99 PRECEDING)
  THEN note('drift', symbol, row_number() OVER (ROWS 99 PRECEDING), lag(bid) OVER (ROWS 99 PRECEDING));

-- A stream that rules make, and what reads it.
INSERT INTO big SELECT symbol, qty, ts_event FROM book.order WHERE kind = 'A' AND qty > 300;
CREATE RULE fifth ON big PARTITION BY symbol
  WHEN count(*) OVER (ROWS UNBOUNDED PRECEDING) % 5 = 0 THEN note('fifth', symbol, qty, NULL);

-- Patterns: a sequence, an absence, rows of SQL.
CREATE RULE pulled ON book.order PARTITION BY symbol
  MATCH EVERY a:(kind = 'A' AND qty > 400) -> d:(kind = 'D' AND order_ref = a.order_ref)
  WITHIN INTERVAL '500' MILLISECOND THEN note('pulled', d.symbol, a.qty, d.price);
CREATE RULE stays WITH (runs_max = 64) ON book.order PARTITION BY symbol
  MATCH EVERY a:(kind = 'A' AND qty > 700) -> NOT g:(kind <> 'A' AND order_ref = a.order_ref)
    FOR INTERVAL '1' SECOND
  THEN note('stays', a.symbol, a.qty, a.price);
INSERT INTO note
  SELECT 'valley', symbol, falls, low FROM book.bbo MATCH_RECOGNIZE (
    PARTITION BY symbol ORDER BY ts_event
    MEASURES count(down.*) AS falls, last(down.bid) AS low
    ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW
    PATTERN (start down{2,} up) WITHIN INTERVAL '5' SECOND
    DEFINE down AS bid < prev(bid), up AS bid > prev(bid));

-- Group windows of every shape.
INSERT INTO note
  SELECT 'tumble', symbol, count(*), avg(price) FROM book.order
  GROUP BY symbol, tumble(ts_event, INTERVAL '1' SECOND);
INSERT INTO note
  SELECT 'hop', symbol, count(DISTINCT order_ref), percentile(price, 0.5) FROM book.order
  GROUP BY symbol, hop(ts_event, INTERVAL '1' SECOND, INTERVAL '4' SECOND);
INSERT INTO note
  SELECT 'cumulate', symbol, sum(qty), max(price) FROM book.order
  GROUP BY symbol, cumulate(ts_event, INTERVAL '2' SECOND, INTERVAL '6' SECOND);
INSERT INTO note
  SELECT 'session', symbol, count(*), min(price) FROM book.order WHERE kind = 'E'
  GROUP BY symbol, session(ts_event, INTERVAL '700' MILLISECOND);
INSERT INTO note
  SELECT 'changes', symbol, count(*), NULL FROM book.order WHERE kind = 'E'
  GROUP BY symbol HAVING count(*) % 4 = 0 WITH (emit = 'change');

-- Joins: within a time, unmatched rows, the latest ones, a table.
INSERT INTO note
  SELECT 'joined', e.symbol, a.qty, e.price FROM book.order e LEFT JOIN big a
    ON e.symbol = a.symbol AND a.ts_event BETWEEN e.ts_event - INTERVAL '20' MILLISECOND AND e.ts_event
  WHERE e.kind = 'E' AND e.qty > 200;
CREATE RULE latest ON big a JOIN LATEST big b PER (symbol, qty)
  ON a.symbol = b.symbol AND a.qty <> b.qty WITHIN INTERVAL '50' MILLISECOND
  WHEN a.qty > b.qty THEN note('latest', a.symbol, a.qty, NULL);
INSERT INTO note
  SELECT 'watched', o.symbol, o.qty, o.price FROM book.order o JOIN watched w ON o.symbol = w.symbol
  WHERE o.qty > w.least AND o.kind = 'E';
