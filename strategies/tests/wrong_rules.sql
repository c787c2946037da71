SELECT 1 FROM itch.trade
----
CREATE
----
CREATE TABLE merchants (id BIGINT)
----
CREATE ACTION
----
CREATE ACTION hold
----
CREATE ACTION hold (account)
----
CREATE ACTION hold (account BIGNT)
----
CREATE ACTION hold (reason VARCHAR(129))
----
CREATE ACTION hold (amount DECIMAL(19,2))
----
CREATE ACTION hold (amount DECIMAL(18,x))
----
CREATE ACTION hold (account BIGINT, account BIGINT)
----
CREATE ACTION hold (_hidden BIGINT)
----
CREATE ACTION hold (session BIGINT)
----
CREATE ACTION alert (account BIGINT)
----
CREATE ACTION hold (a BIGINT); CREATE ACTION HOLD (b BIGINT)
----
CREATE ACTION wide (a VARCHAR(64), b VARCHAR(64), c VARCHAR(64), d VARCHAR(64))
----
CREATE ACTION hold (account BIGINT
----
CREATE RULE
----
CREATE RULE r
----
CREATE RULE r ON
----
CREATE RULE r ON itch.trades WHEN TRUE THEN go(1)
----
CREATE RULE r ON payments WHEN TRUE THEN go(1)
----
CREATE RULE r ON itch.trade PARTITION symbol WHEN TRUE THEN go(1)
----
CREATE RULE r ON itch.trade PARTITION BY symbl WHEN TRUE THEN go(1)
----
CREATE RULE r ON itch.trade THEN go(1)
----
CREATE RULE r ON itch.trade WHEN qty > 1
----
CREATE RULE r ON itch.trade WHEN qty > 1 THEN
----
CREATE RULE r ON itch.trade WHEN qty > 1 THEN alrt(1)
----
CREATE RULE r ON itch.trade WHEN qty > 1 THEN launch(1)
----
CREATE RULE r ON itch.trade WHEN qty > 1 THEN alert(1, 2)
----
CREATE RULE r ON itch.trade WHEN qty THEN go(1)
----
CREATE RULE r ON itch.trade WHEN qty + symbol > 1 THEN go(1)
----
CREATE RULE r ON itch.trade WHEN symbol > 1 THEN go(1)
----
CREATE RULE r ON itch.trade WHEN ts_event > price THEN go(1)
----
CREATE RULE r ON itch.trade WHEN NOT qty THEN go(1)
----
CREATE RULE r ON itch.trade WHEN -symbol = 'A' THEN go(1)
----
CREATE RULE r ON itch.trade t WHEN x.qty > 1 THEN go(1)
----
CREATE RULE r ON itch.trade WHEN qtty > 1 THEN go(1)
----
CREATE RULE r ON itch.trade WHEN colour = 'red' THEN go(1)
----
CREATE RULE r ON itch.trade WHEN (qty > 1 THEN go(1)
----
CREATE RULE r ON itch.trade WHEN qty > THEN go(1)
----
CREATE RULE r ON itch.trade WHEN symbol = 'AAPL THEN go(1)
----
CREATE RULE r ON itch.trade WHEN symbol = "AAPL" THEN go(1)
----
CREATE RULE r ON itch.trade WHEN qty > 99999999999999999999 THEN go(1)
----
CREATE RULE r ON itch.trade WHEN price > 1.1234567890123456789 THEN go(1)
----
CREATE RULE r ON itch.trade WHEN symbol LIKE 5 THEN go(1)
----
CREATE RULE r ON itch.trade WHEN symbol IN (1, 2) THEN go(1)
----
CREATE RULE r ON itch.trade WHEN symbol IN (SELECT 1) THEN go(1)
----
CREATE RULE r ON itch.trade WHEN sqrtt(qty) > 1 THEN go(1)
----
CREATE RULE r ON itch.trade WHEN power(qty) > 1 THEN go(1)
----
CREATE RULE r ON itch.trade WHEN abs(symbol) = 'A' THEN go(1)
----
CREATE RULE r ON itch.trade WHEN length(qty) = 1 THEN go(1)
----
CREATE RULE r ON itch.trade WHEN CAST(symbol AS BIGINT) = 1 THEN go(1)
----
CREATE RULE r ON itch.trade WHEN EXTRACT(HOUR FROM qty) = 1 THEN go(1)
----
CREATE RULE r ON itch.trade WHEN EXTRACT(CENTURY FROM ts_event) = 1 THEN go(1)
----
CREATE RULE r ON itch.trade WHEN CASE WHEN qty > 1 THEN 'a' ELSE 2 END = 'a' THEN go(1)
----
CREATE RULE r ON itch.trade WHEN count(*) > 5 THEN go(1)
----
CREATE RULE r ON itch.trade WHEN abs(qty) OVER (ROWS 5 PRECEDING) > 5 THEN go(1)
----
CREATE RULE r ON itch.trade WHEN sum(symbol) OVER (ROWS 5 PRECEDING) > 5 THEN go(1)
----
CREATE RULE r ON itch.trade WHEN sum(count(*) OVER (ROWS 5 PRECEDING)) OVER (ROWS 5 PRECEDING) > 5 THEN go(1)
----
CREATE RULE r ON itch.trade WHEN count(*) OVER (RANGE 5 PRECEDING) > 5 THEN go(1)
----
CREATE RULE r ON itch.trade WHEN count(*) OVER (ROWS INTERVAL '5' SECOND PRECEDING) > 5 THEN go(1)
----
CREATE RULE r ON itch.trade WHEN count(*) OVER (RANGE INTERVAL 'five' SECOND PRECEDING) > 5 THEN go(1)
----
CREATE RULE r ON itch.trade WHEN count(*) OVER (RANGE INTERVAL '5' FORTNIGHT PRECEDING) > 5 THEN go(1)
----
CREATE RULE r ON itch.trade WHEN count(*) OVER (ROWS BETWEEN 5 PRECEDING AND 5 FOLLOWING) > 5 THEN go(1)
----
CREATE RULE r ON itch.trade WHEN count(*) OVER (ORDER BY qty ROWS 5 PRECEDING) > 5 THEN go(1)
----
CREATE RULE r ON itch.trade WHEN count(*) OVER minute > 5 THEN go(1)
----
CREATE RULE r ON itch.trade WHEN count(DISTINCT qty, price) OVER (ROWS 5 PRECEDING) > 5 THEN go(1)
----
CREATE RULE r ON itch.trade WHEN max(DISTINCT qty) OVER (ROWS 5 PRECEDING) > 5 THEN go(1)
----
CREATE RULE r ON itch.trade WHEN percentile(qty, 2) OVER (ROWS 5 PRECEDING) > 5 THEN go(1)
----
CREATE RULE r WITH (mode = 'loud') ON itch.trade WHEN TRUE THEN go(1)
----
CREATE RULE r WITH (mood = 'live') ON itch.trade WHEN TRUE THEN go(1)
----
CREATE RULE r WITH (keys_max = 0) ON itch.trade WHEN TRUE THEN go(1)
----
CREATE ACTION a (x BIGINT); CREATE RULE r ON itch.trade WHEN TRUE THEN a(1); CREATE RULE R ON itch.trade WHEN TRUE THEN a(2)
----
CREATE ACTION a (x VARCHAR(3)); CREATE RULE r ON itch.trade WHEN TRUE THEN a('four')
----
CREATE ACTION a (x BIGINT); CREATE RULE r ON itch.trade WHEN TRUE THEN a('one')
----
INSERT alert SELECT 1 FROM itch.trade
----
INSERT INTO alert (kind, colour) SELECT 'x', 1 FROM itch.trade
----
INSERT INTO alert (kind) SELECT 'x', 1 FROM itch.trade
----
INSERT INTO alert (kind) SELECT * FROM itch.trade
----
INSERT INTO alert (kind) SELECT 'x' FROM itch.trade, book.bbo
----
INSERT INTO alert (kind) SELECT 'x' FROM itch.trade t JOIN book.bbo b ON t.symbol = b.symbol
----
INSERT INTO alert (kind, symbol) SELECT 'x', symbol FROM itch.trade GROUP BY symbol
----
INSERT INTO alert (kind) SELECT DISTINCT 'x' FROM itch.trade
----
INSERT INTO alert (kind) SELECT 'x' FROM itch.trade ORDER BY qty
----
INSERT INTO alert (kind) SELECT 'x' FROM (SELECT 1)
----
INSERT INTO alert (kind) SELECT 'x' FROM itch.trade WHERE count(*) OVER (ROWS 5 PRECEDING) > 1
----
INSERT INTO alert (kind) SELECT 'x' FROM itch.trade WINDOW w AS v QUALIFY count(*) OVER w > 1
----
INSERT INTO alert (kind) SELECT 'x' FROM itch.trade; WHERE qty > 1
----
INSERT INTO alert (kind) SELECT 'x' FROM itch.trade WHERE qty ~ 1
----
/* never closed
----
INSERT INTO alert (kind) SELECT 'x' FROM itch.trade LIMIT 5
----
CREATE STREAM
----
CREATE STREAM payments
----
CREATE STREAM payments (id BIGINT) WITH key = 'id'
----
CREATE STREAM payments (id BIGINT UNSIGNED NOT)
----
CREATE STREAM payments (id DOUBLE UNSIGNED)
----
CREATE STREAM payments (id BIGNT, seq BIGINT, _x INT, id INT, name VARCHAR(129), amount DECIMAL(2,3))
----
CREATE STREAM payments (id BIGINT, ts BIGINT)
  WITH (key = 'idd', time = 'ts', lateness = 'soon', format = 'xml', time_unit = 'm', watermark = '2s')
----
CREATE STREAM payments (a VARCHAR(64), b VARCHAR(64), c VARCHAR(64), d VARCHAR(64))
----
CREATE STREAM book.bbo (a INT)
----
CREATE STREAM go (a INT)
----
CREATE STREAM a (x INT); CREATE ACTION a (x INT)
----
CREATE ACTION hold (payment BIGINT NOT NULL)
----
CREATE ACTION hold (id BIGINT, seq BIGINT)
----
CREATE STREAM payments (id BIGINT);
CREATE RULE r ON paymnts WHEN id > 1 THEN go(id)
----
CREATE STREAM payments (id BIGINT, country CHAR(2));
CREATE RULE r ON payments WHEN country > 1 THEN go(amount)
----
CREATE STREAM a (x BIGINT); CREATE STREAM b (x BIGINT);
INSERT INTO b SELECT x FROM a;
INSERT INTO a SELECT x FROM b
----
CREATE STREAM a (x BIGINT);
INSERT INTO a SELECT x FROM a
----
INSERT INTO book.bbo SELECT 1 FROM itch.trade
----
CREATE STREAM large (x BIGINT);
INSERT INTO larg SELECT qty FROM itch.trade
----
CREATE STREAM large (x BIGINT, y CHAR(2));
INSERT INTO large SELECT symbol, 'DEU' FROM itch.trade
----
CREATE RULE r WITH (mode = 'challenger') ON itch.trade WHEN TRUE THEN go(1)
----
CREATE RULE r WITH (mode = 'challenger', against = 'nobody', share = 0.5) ON itch.trade WHEN TRUE THEN go(1)
----
CREATE RULE r WITH (share = 0.5) ON itch.trade WHEN TRUE THEN go(1)
----
CREATE RULE a ON itch.trade PARTITION BY symbol WHEN TRUE THEN go(1);
CREATE RULE r WITH (mode = 'challenger', against = 'a', share = 0.5) ON itch.trade WHEN TRUE THEN go(1)
----
CREATE RULE a ON itch.trade PARTITION BY symbol WHEN TRUE THEN go(1);
CREATE RULE b WITH (mode = 'challenger', against = 'a', share = 0.8) ON itch.trade PARTITION BY symbol WHEN TRUE THEN go(1);
CREATE RULE c WITH (mode = 'challenger', against = 'a', share = 0.8) ON itch.trade PARTITION BY symbol WHEN TRUE THEN go(1)
----
CREATE RULE r WITH (mode = 'challenger', against = 'a', share = 1.5) ON itch.trade WHEN TRUE THEN go(1)
----
CREATE RULE r WITH (budget = '5 parsecs') ON itch.trade WHEN TRUE THEN go(1)
----
INSERT INTO go SELECT t.qty FROM itch.trade t JOIN itch.add_order o ON t.symbol = o.symbol
----
INSERT INTO go SELECT t.qty FROM itch.trade t JOIN itch.add_order o ON t.symbol = o.symbol AND o.ts_event >= t.ts_event
----
INSERT INTO go SELECT qty FROM itch.trade t JOIN itch.add_order o ON t.symbol = o.symbol AND o.ts_event = t.ts_event
----
INSERT INTO go SELECT o.qty FROM itch.trade t SEMI JOIN itch.add_order o ON t.symbol = o.symbol AND o.ts_event = t.ts_event
----
INSERT INTO go SELECT 1 FROM itch.trade t CROSS JOIN itch.add_order o
----
INSERT INTO go SELECT 1 FROM itch.trade t JOIN itch.add_ordr o ON t.ts_event = o.ts_event
----
CREATE RULE r ON book.bbo a JOIN LATEST book.bbo b ON a.symbol = b.symbol WHEN TRUE THEN go(1)
----
CREATE RULE r ON book.bbo a JOIN LATEST book.bbo b PER (venue) ON a.symbol = b.symbol WITHIN 5 WHEN TRUE THEN go(1)
----
CREATE RULE r ON book.bbo a JOIN book.bbo b ON a.symbol = b.symbol WITHIN INTERVAL '5' SECOND WHEN count(*) OVER () > 5 THEN go(1)
----
INSERT INTO go SELECT m FROM itch.trade MATCH_RECOGNIZE (PARTITION BY symbol MEASURES first(a.qty) AS m PATTERN (a b+ DEFINE b AS qty > 1)
----
INSERT INTO go SELECT m FROM itch.trade MATCH_RECOGNIZE (PARTITION BY symbol MEASURES first(a.qty) AS m PATTERN (a b{3,2}) DEFINE b AS qty > 1)
----
INSERT INTO go SELECT m FROM itch.trade MATCH_RECOGNIZE (PARTITION BY symbol MEASURES first(a.qty) AS m PATTERN (a b+) DEFINE b AS qty > last(c.qty))
----
INSERT INTO go SELECT m FROM itch.trade MATCH_RECOGNIZE (PARTITION BY symbol MEASURES first(a.qty) AS m PATTERN (a b+) DEFINE c AS qty > 1)
----
INSERT INTO go SELECT m FROM itch.trade MATCH_RECOGNIZE (PARTITION BY symbol MEASURES first(a.qty) AS m PATTERN (a b+) DEFINE b AS qtty > 1)
----
INSERT INTO go SELECT m FROM itch.trade MATCH_RECOGNIZE (PARTITION BY symbol MEASURES first(a.qty) AS m PATTERN (a b+) DEFINE b AS qty > prev(last(a.qty), 5000))
----
INSERT INTO go SELECT m FROM itch.trade MATCH_RECOGNIZE (PARTITION BY symbol MEASURES first(a.qty) AS m PATTERN (a b+) DEFINE b AS qty > first(prev(qty)))
----
INSERT INTO go SELECT m FROM itch.trade MATCH_RECOGNIZE (PARTITION BY symbol MEASURES first(a.qty) AS m PATTERN (a b+) DEFINE b AS qty > sum(a.qty + b.qty))
----
INSERT INTO go SELECT m FROM itch.trade MATCH_RECOGNIZE (PARTITION BY symbol MEASURES first(a.qty) AS m PATTERN (a b+) DEFINE b AS match_number() > 1)
----
INSERT INTO go SELECT m FROM itch.trade MATCH_RECOGNIZE (PARTITION BY symbol MEASURES first(a.qty) AS m PATTERN (a b+) DEFINE b AS FINAL last(a.qty) > 1)
----
INSERT INTO go SELECT m FROM itch.trade MATCH_RECOGNIZE (PARTITION BY symbol MEASURES first(a.qty) AS m PATTERN (a b+) DEFINE b AS qty)
----
INSERT INTO go SELECT m FROM itch.trade MATCH_RECOGNIZE (PARTITION BY symbol MEASURES first(a.qty) AS m PATTERN (a b+) DEFINE a AS qty > 1, a AS qty > 2)
----
INSERT INTO go SELECT m FROM itch.trade MATCH_RECOGNIZE (PARTITION BY symbol MEASURES first(a.qty) AS m PATTERN (a b+) SUBSET ab = (a, c))
----
INSERT INTO go SELECT m FROM itch.trade MATCH_RECOGNIZE (PARTITION BY symbol MEASURES first(a.qty) AS m AFTER MATCH SKIP TO FIRST a PATTERN (a b+))
----
INSERT INTO go SELECT m FROM itch.trade MATCH_RECOGNIZE (PARTITION BY symbol MEASURES first(a.qty) AS m AFTER MATCH SKIP TO c PATTERN (a b+))
----
INSERT INTO go SELECT m FROM itch.trade MATCH_RECOGNIZE (PARTITION BY symbol MEASURES first(a.qty) AS m PATTERN (a b+) WITHIN 5 SECOND DEFINE b AS qty > 1)
----
INSERT INTO go SELECT m FROM itch.trade MATCH_RECOGNIZE (PARTITION BY symbol MEASURES first(a.qty) AS m ALL ROW PER MATCH PATTERN (a b+))
----
INSERT INTO go SELECT n FROM itch.trade MATCH_RECOGNIZE (PARTITION BY symbol MEASURES first(a.qty) AS m PATTERN (a b+))
----
INSERT INTO go SELECT a.qty FROM itch.trade MATCH_RECOGNIZE (PARTITION BY symbol MEASURES first(a.qty) AS m PATTERN (a b+))
----
INSERT INTO go SELECT m FROM itch.trade MATCH_RECOGNIZE (ORDER BY qty MEASURES 1 AS m PATTERN (a))
----
INSERT INTO go SELECT m FROM itch.trade MATCH_RECOGNIZE (ORDER BY ts_event DESC MEASURES 1 AS m PATTERN (a))
----
INSERT INTO go SELECT m FROM itch.trade MATCH_RECOGNIZE (MEASURES 1 AS m PATTERN (PERMUTE(a, b, c, d, e, f, g, h, i)))
----
CREATE RULE r ON itch.trade PARTITION BY symbol MATCH EVERY a:(qty > 1) -> b:(qty > c.qty) THEN go(1)
----
CREATE RULE r ON itch.trade PARTITION BY symbol MATCH EVERY a:(qty > 1) -> b(qty > 1) WITHIN '5' SECOND THEN go(1)
----
CREATE RULE r ON itch.trade PARTITION BY symbol MATCH a:(qty > 1) -> EVERY NOT b:(qty > 1) THEN go(1)
----
CREATE RULE r ON itch.trade PARTITION BY symbol MATCH a:(qty > 1) AND EVERY b:(qty > 1){2} THEN go(1)
----
CREATE RULE r ON itch.trade PARTITION BY symbol MATCH a:(qty > 1) -> NOT c:(qty > 5) -> EVERY (b:(qty > 1) -> d:(qty > 2)) THEN go(1)
----
CREATE RULE r ON itch.trade PARTITION BY symbol MATCH a:(qty > 1) -> EVERY (b:(qty > 1)?) THEN go(1)
----
INSERT INTO go SELECT m FROM itch.trade MATCH_RECOGNIZE (ORDER BY ts_event, symbol MEASURES 1 AS m PATTERN (a))
----
CREATE RULE r ON itch.trade PARTITION BY symbol MATCH EVERY a:(qty > 1) -> a:(qty > 2) THEN go(1)
----
CREATE RULE r ON itch.trade PARTITION BY symbol MATCH EVERY a:(qty > 1) -> NOT b:(qty > 2) THEN go(1)
----
CREATE RULE r ON itch.trade PARTITION BY symbol MATCH EVERY (a:(qty > 1) -> c:(qty > 1)) AND NOT b:(qty > 2) FOR INTERVAL '5' SECOND THEN go(1)
----
CREATE RULE r ON itch.trade PARTITION BY symbol MATCH EVERY a:(qty > 1) -> THEN go(1)
----
CREATE RULE r ON itch.trade PARTITION BY symbol MATCH EVERY a:(qty > 1) -> b:(qty > 2) 
----
CREATE RULE r ON itch.trade, itch.add_order PARTITION BY symbol MATCH a:itch.trad -> b:itch.add_order THEN go(1)
----
CREATE RULE r ON itch.trade, itch.add_order PARTITION BY symbol MATCH a:itch.trade -> b:itch.add_order THEN go(side)
----
CREATE RULE r ON itch.trade, itch.trade MATCH a:itch.trade THEN go(1)
----
CREATE RULE r ON itch.trade, itch.add_order WHEN TRUE THEN go(1)
----
CREATE RULE r WITH (timeouts = 'yes') ON itch.trade MATCH a:(qty > 1) THEN go(1)
----
CREATE RULE r ON itch.trade WHEN prev(qty) > 1 THEN go(1)
----
INSERT INTO go SELECT qty FROM itch.trade GROUP BY symbol, tumble(ts_event, INTERVAL '1' SECOND)
----
INSERT INTO go SELECT count(*) FROM itch.trade GROUP BY tumbel(ts_event, INTERVAL '1' SECOND)
----
INSERT INTO go SELECT count(*) FROM itch.trade GROUP BY symbol, tumble(INTERVAL '1' SECOND)
----
INSERT INTO go SELECT count(*) FROM itch.trade GROUP BY symbol, tumble(ts_recv, INTERVAL '1' SECOND)
----
INSERT INTO go SELECT count(*) FROM itch.trade GROUP BY symbol, tumble(ts_event, 5)
----
INSERT INTO go SELECT count(*) FROM itch.trade GROUP BY symbol, hop(ts_event, INTERVAL '10' SECOND, INTERVAL '1' SECOND)
----
INSERT INTO go SELECT count(*) FROM itch.trade GROUP BY symbol, hop(ts_event, INTERVAL '1' NANOSECOND, INTERVAL '1' DAY)
----
INSERT INTO go SELECT count(*) FROM itch.trade GROUP BY symbol, cumulate(ts_event, INTERVAL '3' SECOND, INTERVAL '10' SECOND)
----
INSERT INTO go SELECT count(*) FROM itch.trade GROUP BY symbol, session(ts_event, INTERVAL '0' SECOND)
----
INSERT INTO go SELECT count(*) FROM itch.trade GROUP BY symbol, tumble(ts_event, INTERVAL '1' SECOND), session(ts_event, INTERVAL '1' SECOND)
----
INSERT INTO go SELECT count(*) FROM itch.trade GROUP BY 1, tumble(ts_event, INTERVAL '1' SECOND)
----
INSERT INTO go SELECT count(*) FROM itch.trade GROUP BY ALL
----
INSERT INTO go SELECT count(*) OVER (ROWS 9 PRECEDING) FROM itch.trade
GROUP BY tumble(ts_event, INTERVAL '1' SECOND)
----
INSERT INTO go SELECT lag(qty) FROM itch.trade GROUP BY tumble(ts_event, INTERVAL '1' SECOND)
----
INSERT INTO go SELECT count(*) FROM itch.trade WHERE count(*) > 1 GROUP BY tumble(ts_event, INTERVAL '1' SECOND)
----
INSERT INTO go SELECT count(*) FROM itch.trade HAVING count(*) > 1
----
INSERT INTO go SELECT count(*) FROM itch.trade GROUP BY tumble(ts_event, INTERVAL '1' SECOND) HAVING sum(qty)
----
INSERT INTO go SELECT count(*) FROM itch.trade GROUP BY tumble(ts_event, INTERVAL '1' SECOND)
QUALIFY count(*) > 1
----
INSERT INTO go SELECT qty FROM itch.trade WHERE tumble(ts_event, INTERVAL '1' SECOND) > 1
----
INSERT INTO go SELECT count(*) FROM itch.trade GROUP BY symbol, tumble(ts_event, INTERVAL '1' SECOND) WITH (emit = 'often')
----
INSERT INTO go SELECT count(*) FROM itch.trade GROUP BY symbol, tumble(ts_event, INTERVAL '1' SECOND) WITH (latenes = '1s')
----
INSERT INTO go SELECT count(*) FROM itch.trade GROUP BY symbol, tumble(ts_event, INTERVAL '1' SECOND) WITH (lateness = 'some')
----
INSERT INTO go SELECT count(*) FROM itch.trade GROUP BY symbol, tumble(ts_event, INTERVAL '1' SECOND) WITH (mode = 'challenger')
----
INSERT INTO go SELECT count(*) FROM itch.trade GROUP BY symbol, tumble(ts_event, INTERVAL '1' SECOND) WITH (emit 'close')
----
INSERT INTO go SELECT qty FROM itch.trad.late
----
CREATE VIEW
----
CREATE VIEW v SELECT qty FROM itch.trade
----
CREATE VIEW v AS SELECT qty * 2 FROM itch.trade
----
CREATE VIEW v AS SELECT qty, price AS qty FROM itch.trade
----
CREATE VIEW v AS SELECT ts_event FROM itch.trade
----
CREATE VIEW v (a, b) AS SELECT qty FROM itch.trade
----
CREATE VIEW v AS SELECT NULL AS x FROM itch.trade
----
CREATE VIEW go AS SELECT qty FROM itch.trade
----
CREATE VIEW v AS SELECT qty FROM itch.trade;
INSERT INTO v SELECT qty FROM itch.trade
----
INSERT INTO go SELECT qty FROM v;
CREATE VIEW v AS SELECT qty FROM itch.trade
----
CREATE VIEW v AS SELECT qty FROM itch.trade;
INSERT INTO go SELECT qqty FROM v
----
INSERT INTO go SELECT qty FROM itch.trade WITH (emit = 'change')
----
CREATE RULE r WITH (lateness = '1s') ON itch.trade WHEN TRUE THEN go(1)
----
CREATE RULE r WITH (name = 's') ON itch.trade WHEN TRUE THEN go(1)
----
INSERT INTO go SELECT t.qty FROM itch.trade t ASOF JOIN itch.add_order o
MATCH_CONDITION (t.ts_event <= o.ts_event) ON t.symbol = o.symbol
----
INSERT INTO go SELECT t.qty FROM itch.trade t ASOF JOIN itch.add_order o
MATCH_CONDITION (t.price >= o.price) ON t.symbol = o.symbol
----
INSERT INTO go SELECT t.qty FROM itch.trade t ASOF JOIN itch.add_order o
MATCH_CONDITION (t.ts_event = o.ts_event) ON t.symbol = o.symbol
----
INSERT INTO go SELECT t.qty FROM itch.trade t ASOF JOIN itch.add_order o ON t.symbol = o.symbol
----
INSERT INTO go SELECT t.qty FROM itch.trade t LEFT ASOF JOIN itch.add_order o
MATCH_CONDITION (t.ts_event >= o.ts_event) ON t.symbol = o.symbol AND o.qty > t.qty
----
INSERT INTO go SELECT t.qty FROM itch.trade t ASOF JOIN itch.add_order o
MATCH_CONDITION (t.ts_event >= o.ts_event) ON t.symbol = o.symbol AND o.ts_event <= t.ts_event - INTERVAL '1' SECOND
----
CREATE RULE r ON itch.trade t ASOF JOIN itch.add_order o ON t.symbol = o.symbol WHEN TRUE THEN go(1)
----
CREATE RULE r ON itch.trade t ASOF itch.add_order o WHEN TRUE THEN go(1)
----
INSERT INTO go SELECT qty FROM itch.trade WITH (delay = '1s', every = '1s')
----
INSERT INTO go SELECT qty FROM itch.trade WITH (offset = '1s')
----
INSERT INTO go SELECT qty FROM itch.trade WITH (delay = 'soon')
----
INSERT INTO go SELECT count(*) OVER (ROWS 9 PRECEDING) FROM itch.trade WITH (every = '1s')
----
INSERT INTO go SELECT count(*) FROM itch.trade GROUP BY tumble(ts_event, INTERVAL '1' SECOND) WITH (every = '1s')
----
INSERT INTO go SELECT count(*) FROM itch.trade GROUP BY symbol WITH (every = '1s', emit = 'change')
----
INSERT INTO go SELECT count(*) FROM itch.trade GROUP BY symbol WITH (delay = '1s')
----
INSERT INTO go SELECT t.qty FROM itch.trade t JOIN itch.add_order o ON t.ts_event = o.ts_event WITH (every = '1s')
----
CREATE RULE r WITH (delay = '1s') ON itch.trade WHEN TRUE THEN go(1)
----
INSERT INTO go SELECT length(lower(qty)) FROM itch.trade
----
INSERT INTO go SELECT length(to_char(ts_event)) FROM itch.trade
----
INSERT INTO go SELECT length(to_char(ts_event, symbol)) FROM itch.trade
----
INSERT INTO go SELECT length(split_part(symbol, '/')) FROM itch.trade
----
INSERT INTO go SELECT length(symbol || qty) FROM itch.trade
----
INSERT INTO go SELECT abs(qty) FILTER (WHERE qty > 1) FROM itch.trade
----
INSERT INTO go SELECT last_value(qty) FILTER (WHERE qty > 1) FROM itch.trade GROUP BY tumble(ts_event, INTERVAL '1' SECOND)
----
INSERT INTO go SELECT count(*) FILTER (WHERE qty) FROM itch.trade GROUP BY tumble(ts_event, INTERVAL '1' SECOND)
----
CREATE STREAM s (t VARCHAR(129))
----
INSERT INTO go SELECT qty FROM itch.trade LIMIT 5
----
INSERT INTO go SELECT qty FROM itch.trade LIMIT 5 OFFSET 3 WITH (every = '1s')
----
INSERT INTO go SELECT qty FROM itch.trade ORDER BY nothing WITH (every = '1s')
----
INSERT INTO go SELECT qty FROM itch.trade ORDER BY qty NULLS FIRST WITH (every = '1s')
----
INSERT INTO go SELECT count(*) FROM itch.trade GROUP BY tumble(ts_event, INTERVAL '1' SECOND) ORDER BY symbol
