-- Signals for trading. What each rule says, where the idea comes from and what it gets wrong:
-- README.md.

CREATE STREAM prints (ts TIMESTAMP(9), symbol SYMBOL, venue CHAR(4), price PRICE, qty BIGINT)
  WITH (key = 'symbol', time = 'ts');
CREATE ACTION signal (kind VARCHAR(20), symbol SYMBOL, price PRICE, against PRICE);

-- Ten trades or more in five minutes, and one half a percent away from their mean price.
CREATE RULE vwap_deviation ON prints PARTITION BY symbol
  WHEN count(*) OVER (RANGE INTERVAL '5' MINUTE PRECEDING) >= 10
   AND abs(price - vwap(price, qty) OVER (RANGE INTERVAL '5' MINUTE PRECEDING))
     > 0.005 * vwap(price, qty) OVER (RANGE INTERVAL '5' MINUTE PRECEDING)
  THEN signal('vwap_deviation', symbol, price,
    vwap(price, qty) OVER (RANGE INTERVAL '5' MINUTE PRECEDING));

-- Two venues a tenth of a percent apart within fifty milliseconds.
INSERT INTO signal
  SELECT 'venues_diverge', a.symbol, a.price, b.price
  FROM prints a JOIN prints b
    ON a.symbol = b.symbol AND a.venue <> b.venue
    AND b.ts_event BETWEEN a.ts_event - INTERVAL '50' MILLISECOND AND a.ts_event
  WHERE abs(a.price - b.price) > 0.001 * b.price AND a.seq > b.seq
  WITH (name = 'venues_diverge');

-- The highest and lowest price of 09:30 to 09:35 (UTC, as all times here), then a trade beyond.
CREATE VIEW opening AS
  SELECT symbol, price, qty,
    CASE WHEN EXTRACT(HOUR FROM ts) = 9 AND EXTRACT(MINUTE FROM ts) BETWEEN 30 AND 34
      THEN price END AS early
  FROM prints WHERE EXTRACT(HOUR FROM ts) BETWEEN 9 AND 15;
CREATE RULE opening_range ON opening PARTITION BY symbol
  WHEN early IS NULL AND count(early) OVER (RANGE INTERVAL '12' HOUR PRECEDING) >= 3
   AND price > max(early) OVER (RANGE INTERVAL '12' HOUR PRECEDING)
   AND lag(price) OVER (RANGE INTERVAL '12' HOUR PRECEDING)
     <= max(early) OVER (RANGE INTERVAL '12' HOUR PRECEDING)
  THEN signal('opening_range', symbol, price,
    max(early) OVER (RANGE INTERVAL '12' HOUR PRECEDING));

-- A spread of one percent of the bid, three times as wide as usual.
INSERT INTO signal
  SELECT 'wide_spread', symbol, ask, bid FROM book.bbo
  WHERE bid > 0 AND ask > bid
  WINDOW w AS (PARTITION BY symbol ROWS 19 PRECEDING)
  QUALIFY ask - bid > 0.01 * bid AND count(*) OVER w >= 5
    AND ask - bid > 3 * avg(ask - bid) OVER w
  WITH (name = 'wide_spread');
