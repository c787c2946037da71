-- Money laundering among transfers. Where the ideas come from and what they get wrong: README.md.

CREATE STREAM payments (id BIGINT NOT NULL, ts TIMESTAMP(9), kind CHAR(8), account BIGINT,
    card BIGINT, merchant INT, payee BIGINT, device BIGINT, ip VARCHAR(15), country CHAR(2),
    lat DOUBLE, lon DOUBLE, amount DECIMAL(18,2))
  WITH (key = 'account', time = 'ts');
CREATE ACTION launder (payment BIGINT, kind VARCHAR(20), account BIGINT);

CREATE VIEW moves AS
  SELECT id, ts, account, payee, amount FROM payments WHERE kind = 'transfer';

-- Eight different payers of one account, or payees of one, within ten minutes.
CREATE RULE fan_in ON moves PARTITION BY payee
  WHEN count(DISTINCT account) OVER (RANGE INTERVAL '10' MINUTE PRECEDING) >= 8
  THEN launder(id, 'fan_in', payee);
CREATE RULE fan_out ON moves PARTITION BY account
  WHEN count(DISTINCT payee) OVER (RANGE INTERVAL '10' MINUTE PRECEDING) >= 8
  THEN launder(id, 'fan_out', account);

-- Amounts just below what has to be reported, again and again.
CREATE VIEW near_threshold AS
  SELECT id, account, amount FROM moves WHERE amount BETWEEN 9000 AND 9999.99;
CREATE RULE structuring ON near_threshold PARTITION BY account
  WHEN count(*) OVER (RANGE INTERVAL '1' HOUR PRECEDING) >= 4
  THEN launder(id, 'structuring', account);

-- a -> b -> c -> a within an hour, each amount within five percent of the one before.
CREATE VIEW chains AS
  SELECT x.account AS a, x.payee AS b, y.payee AS c, x.ts AS began, y.amount AS amount
  FROM moves x JOIN moves y
    ON x.payee = y.account AND x.account <> y.payee
    AND y.ts_event BETWEEN x.ts_event AND x.ts_event + INTERVAL '1' HOUR
  WHERE y.id > x.id AND y.amount BETWEEN 0.95 * x.amount AND 1.05 * x.amount;
INSERT INTO launder
  SELECT z.id, 'cycle3', h.a
  FROM chains h JOIN moves z
    ON h.c = z.account AND h.a = z.payee
    AND z.ts_event BETWEEN h.ts_event AND h.ts_event + INTERVAL '1' HOUR
  WHERE z.ts - h.began <= INTERVAL '1' HOUR
    AND z.amount BETWEEN 0.95 * h.amount AND 1.05 * h.amount
  WITH (name = 'cycle3');
