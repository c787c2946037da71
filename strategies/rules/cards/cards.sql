-- Fraud on cards. What each rule finds, where the idea comes from and what it gets wrong: README.md.

CREATE STREAM payments (id BIGINT NOT NULL, ts TIMESTAMP(9), kind CHAR(8), account BIGINT,
    card BIGINT, merchant INT, payee BIGINT, device BIGINT, ip VARCHAR(15), country CHAR(2),
    lat DOUBLE, lon DOUBLE, amount DECIMAL(18,2))
  WITH (key = 'account', time = 'ts');
CREATE ACTION fraud (payment BIGINT, kind VARCHAR(20), account BIGINT, card BIGINT);

-- Payments by card and transfers between accounts, each by itself.
CREATE VIEW cards AS
  SELECT id, ts, account, card, merchant, device, ip, country, lat, lon, amount
  FROM payments WHERE kind = 'card';
CREATE VIEW transfers AS
  SELECT id, ts, account, payee, amount FROM payments WHERE kind = 'transfer';

CREATE RULE card_velocity ON cards PARTITION BY card
  WHEN count(*) OVER (RANGE INTERVAL '60' SECOND PRECEDING) = 6
  THEN fraud(id, 'card_velocity', account, card);

CREATE RULE device_velocity ON cards PARTITION BY device
  WHEN count(DISTINCT card) OVER (RANGE INTERVAL '10' MINUTE PRECEDING) >= 3
  THEN fraud(id, 'device_velocity', account, card);

CREATE RULE ip_velocity ON cards PARTITION BY ip
  WHEN count(*) OVER (RANGE INTERVAL '60' SECOND PRECEDING) = 10
  THEN fraud(id, 'ip_velocity', account, card);

CREATE RULE merchant_velocity ON cards PARTITION BY merchant
  WHEN count(*) OVER (RANGE INTERVAL '60' SECOND PRECEDING) = 50
  THEN fraud(id, 'merchant_velocity', account, card);

-- 900 km/h are 4 seconds for a kilometre.
CREATE RULE impossible_travel ON cards PARTITION BY card
  WHEN haversine_km(lag(lat) OVER (ROWS 1 PRECEDING), lag(lon) OVER (ROWS 1 PRECEDING), lat, lon) > 500
   AND EXTRACT(EPOCH FROM ts) - EXTRACT(EPOCH FROM lag(ts) OVER (ROWS 1 PRECEDING))
     < 4 * haversine_km(lag(lat) OVER (ROWS 1 PRECEDING), lag(lon) OVER (ROWS 1 PRECEDING), lat, lon)
  THEN fraud(id, 'impossible_travel', account, card);

CREATE RULE card_testing ON cards PARTITION BY card
  WHEN amount >= 200
   AND sum(CASE WHEN amount <= 2.00 THEN 1 ELSE 0 END)
     OVER (RANGE INTERVAL '10' MINUTE PRECEDING) >= 5
  THEN fraud(id, 'card_testing', account, card);

-- Twenty times the mean of the account's earlier payments, of which there are ten.
CREATE RULE amount_outlier ON cards PARTITION BY account
  WHEN count(*) OVER () > 10
   AND amount * (count(*) OVER () - 1) >= 20 * (sum(amount) OVER () - amount)
  THEN fraud(id, 'amount_outlier', account, card);

-- The z-score of one payment among n is at most (n - 1) / sqrt(n): above 4 from 18 on.
CREATE RULE amount_zscore ON cards PARTITION BY account
  WHEN zscore(amount) OVER (ROWS 49 PRECEDING) > 4.5
  THEN fraud(id, 'amount_zscore', account, card);

CREATE RULE first_country ON cards PARTITION BY account
  WHEN count(*) OVER () > 5 AND count(*) OVER (PARTITION BY account, country) = 1
  THEN fraud(id, 'first_country', account, card);

CREATE RULE first_merchant ON cards PARTITION BY account
  WHEN count(*) OVER () > 10 AND count(*) OVER (PARTITION BY account, merchant) = 1
   AND amount * count(*) OVER () >= 5 * sum(amount) OVER ()
  THEN fraud(id, 'first_merchant', account, card);

CREATE RULE dormant_account ON cards PARTITION BY account
  WHEN amount >= 1000 AND ts - lag(ts) OVER (ROWS 1 PRECEDING) >= INTERVAL '12' HOUR
  THEN fraud(id, 'dormant_account', account, card);

-- Money that comes back.
INSERT INTO fraud
  SELECT b.id, 'round_trip', a.account, NULL
  FROM transfers a JOIN transfers b
    ON a.account = b.payee AND a.payee = b.account
    AND b.ts_event BETWEEN a.ts_event AND a.ts_event + INTERVAL '1' HOUR
  WHERE b.id > a.id AND b.amount BETWEEN 0.95 * a.amount AND 1.05 * a.amount
  WITH (name = 'round_trip');
