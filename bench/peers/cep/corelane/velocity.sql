CREATE STREAM events (account BIGINT NOT NULL, amount BIGINT NOT NULL) WITH (key = 'account');
CREATE ACTION found (account BIGINT, at TIMESTAMP, n BIGINT, total BIGINT);
INSERT INTO found
SELECT account, ts_event, count(*) OVER minute, sum(amount) OVER minute FROM events
WINDOW minute AS (PARTITION BY account RANGE INTERVAL '60' SECOND PRECEDING)
QUALIFY count(*) OVER minute > 12 AND sum(amount) OVER minute > 60000;
