-- Fan-in and 3-cycles among the transfers of AMLSim (https://github.com/IBM/AMLSim), whose time is
-- counted in steps: here a step is a second. `transactions.csv` is read as it is, in the order of
-- its steps.

CREATE STREAM steps (sourceNodeId INT NOT NULL, targetNodeId INT NOT NULL, value DECIMAL(18,2),
    time TIMESTAMP(9) NOT NULL)
  WITH (time = 'time', time_unit = 's', format = 'csv');
CREATE ACTION fan_in (account BIGINT, senders BIGINT);
CREATE ACTION cycle (a BIGINT, b BIGINT, c BIGINT, took INTERVAL);

-- So many different senders within so many steps, the one at hand included.
CREATE RULE fan_in_w5_k4 ON steps PARTITION BY targetNodeId
  WHEN count(DISTINCT sourceNodeId) OVER (RANGE INTERVAL '4' SECOND PRECEDING) >= 4
  THEN fan_in(targetNodeId, count(DISTINCT sourceNodeId) OVER (RANGE INTERVAL '4' SECOND PRECEDING));
CREATE RULE fan_in_w10_k5 ON steps PARTITION BY targetNodeId
  WHEN count(DISTINCT sourceNodeId) OVER (RANGE INTERVAL '9' SECOND PRECEDING) >= 5
  THEN fan_in(targetNodeId, count(DISTINCT sourceNodeId) OVER (RANGE INTERVAL '9' SECOND PRECEDING));
CREATE RULE fan_in_w10_k8 ON steps PARTITION BY targetNodeId
  WHEN count(DISTINCT sourceNodeId) OVER (RANGE INTERVAL '9' SECOND PRECEDING) >= 8
  THEN fan_in(targetNodeId, count(DISTINCT sourceNodeId) OVER (RANGE INTERVAL '9' SECOND PRECEDING));
CREATE RULE fan_in_w20_k10 ON steps PARTITION BY targetNodeId
  WHEN count(DISTINCT sourceNodeId) OVER (RANGE INTERVAL '19' SECOND PRECEDING) >= 10
  THEN fan_in(targetNodeId, count(DISTINCT sourceNodeId) OVER (RANGE INTERVAL '19' SECOND PRECEDING));

-- a -> b -> c: another transfer, not before the first.
CREATE VIEW hops AS
  SELECT x.sourceNodeId AS a, x.targetNodeId AS b, y.targetNodeId AS c, x.time AS began,
    x.seq AS one, y.seq AS two
  FROM steps x JOIN steps y
    ON x.targetNodeId = y.sourceNodeId AND x.seq <> y.seq
    AND y.time BETWEEN x.time AND x.time + INTERVAL '100' SECOND
  WITH (rows_max = 200000);
-- And back to a, not before the second, and no more than 100 steps after the first.
CREATE VIEW cycles AS
  SELECT h.a AS a, h.b AS b, h.c AS c, z.time - h.began AS took
  FROM hops h JOIN steps z
    ON h.c = z.sourceNodeId AND h.a = z.targetNodeId AND z.seq <> h.one AND z.seq <> h.two
    AND z.time BETWEEN h.ts_event AND h.ts_event + INTERVAL '100' SECOND
  WHERE z.time - h.began <= INTERVAL '100' SECOND
  WITH (rows_max = 2000000);
INSERT INTO cycle SELECT a, b, c, took FROM cycles WHERE took <= INTERVAL '10' SECOND
  WITH (name = 'cycle3_w10');
INSERT INTO cycle SELECT a, b, c, took FROM cycles WHERE took <= INTERVAL '30' SECOND
  WITH (name = 'cycle3_w30');
INSERT INTO cycle SELECT a, b, c, took FROM cycles WITH (name = 'cycle3_w100');
