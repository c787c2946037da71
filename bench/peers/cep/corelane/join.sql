CREATE STREAM lefts (account BIGINT NOT NULL, amount BIGINT NOT NULL) WITH (key = 'account');
CREATE STREAM rights (account BIGINT NOT NULL, amount BIGINT NOT NULL) WITH (key = 'account');
CREATE ACTION found (account BIGINT, a TIMESTAMP, b TIMESTAMP);
INSERT INTO found
SELECT a.account, a.ts_event, b.ts_event
FROM lefts a JOIN rights b ON a.account = b.account
 AND b.ts_event BETWEEN a.ts_event - INTERVAL '500' MILLISECOND
                    AND a.ts_event + INTERVAL '500' MILLISECOND;
