CREATE STREAM events (account BIGINT NOT NULL, kind BIGINT NOT NULL, amount BIGINT NOT NULL)
  WITH (key = 'account');
CREATE ACTION found (account BIGINT, a TIMESTAMP, b TIMESTAMP, c TIMESTAMP);
CREATE RULE growing ON events PARTITION BY account
  MATCH EVERY a:events(kind = 1) -> b:events(kind = 2 AND amount > a.amount)
        -> c:events(kind = 3 AND amount > b.amount)
  WITHIN INTERVAL '10' SECOND
  THEN found(a.account, a.ts_event, b.ts_event, c.ts_event);
