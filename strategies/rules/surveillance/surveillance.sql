-- Market abuse. What each rule finds, where the idea comes from and what it gets wrong: README.md.

-- What traders do, with who they are: an exchange's or a broker's own stream.
CREATE STREAM orders (ts TIMESTAMP(9), trader BIGINT, symbol SYMBOL, oid BIGINT, what CHAR(6),
    side CHAR(1), price PRICE, qty BIGINT)
  WITH (key = 'symbol', time = 'ts');
CREATE STREAM trades (ts TIMESTAMP(9), symbol SYMBOL, buyer BIGINT, seller BIGINT,
    buyer_owner BIGINT, seller_owner BIGINT, price PRICE, qty BIGINT)
  WITH (key = 'symbol', time = 'ts');
CREATE ACTION abuse (kind VARCHAR(20), symbol SYMBOL, trader BIGINT, price PRICE, qty BIGINT);

-- A large order, a fill of the trader's on the other side, and the large one is gone: spoofing.
CREATE RULE spoofing WITH (runs_max = 64) ON orders PARTITION BY trader, symbol
  MATCH EVERY big:(what = 'add' AND qty >= 10000)
    -> fill:(what = 'exec' AND side <> big.side)
    -> gone:(what = 'cancel' AND oid = big.oid)
  WITHIN INTERVAL '2' SECOND
  THEN abuse('spoofing', big.symbol, big.trader, big.price, big.qty);

-- Three or more orders at rising distance on one side, a fill on the other, three cancels.
INSERT INTO abuse
  SELECT 'layering', symbol, trader, price, qty FROM orders MATCH_RECOGNIZE (
    PARTITION BY trader, symbol ORDER BY ts
    MEASURES first(layer.price) AS price, sum(layer.qty) AS qty
    ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW
    PATTERN (layer{3,} fill pulled{3}) WITHIN INTERVAL '5' SECOND
    DEFINE layer AS what = 'add' AND (prev(layer.side) IS NULL OR side = first(layer.side)),
      fill AS what = 'exec' AND side <> first(layer.side),
      pulled AS what = 'cancel' AND side = first(layer.side))
  WITH (name = 'layering');

-- One owner on both sides.
INSERT INTO abuse
  SELECT 'wash_trade', symbol, buyer, price, qty FROM trades WHERE buyer_owner = seller_owner
  WITH (name = 'wash_trade');

-- Five or more trades up, by two percent, within ten seconds, by one aggressive buyer.
CREATE RULE momentum_ignition ON trades PARTITION BY symbol, buyer
  WHEN count(*) OVER (RANGE INTERVAL '10' SECOND PRECEDING) = 5
   AND price >= 1.02 * first_value(price) OVER (RANGE INTERVAL '10' SECOND PRECEDING)
  THEN abuse('momentum_ignition', symbol, buyer, price, qty);

-- In the last minute before 16:00: a third or more of what is traded, away from the mean price.
CREATE VIEW closing AS
  SELECT symbol, buyer, price, qty FROM trades
  WHERE EXTRACT(HOUR FROM ts) = 15 AND EXTRACT(MINUTE FROM ts) = 59;
CREATE RULE marking_the_close ON closing PARTITION BY symbol
  WHEN count(*) OVER () >= 5
   AND 3 * sum(qty) OVER (PARTITION BY symbol, buyer) >= sum(qty) OVER ()
   AND count(*) OVER (PARTITION BY symbol, buyer) >= 3
   AND price >= 1.005 * avg(price) OVER ()
  THEN abuse('marking_the_close', symbol, buyer, price, qty);

-- Two hundred orders and cancels in a second, nearly none of them filled.
CREATE RULE quote_stuffing ON orders PARTITION BY trader, symbol
  WHEN count(*) OVER (RANGE INTERVAL '999' MILLISECOND PRECEDING) = 200
   AND sum(CASE WHEN what = 'exec' THEN 1 ELSE 0 END)
     OVER (RANGE INTERVAL '999' MILLISECOND PRECEDING) < 2
  THEN abuse('quote_stuffing', symbol, trader, price, qty);
