CREATE STREAM events (symbol CHAR(8) NOT NULL, qty BIGINT NOT NULL) WITH (key = 'symbol');
CREATE ACTION found (symbol CHAR(8), total BIGINT);
INSERT INTO found
SELECT symbol, sum(qty) FROM events GROUP BY symbol, tumble(ts_event, INTERVAL '1' SECOND);
