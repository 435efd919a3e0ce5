-- Who is in each example cohort, written by hand from the sentences in examples/shop/cohorts.yaml: it shares
-- nothing with the definitions, the conditions or the records.
--
-- `shop` is each event up to the instant, once, whatever was delivered twice. Windows are half-open: an event is out
-- exactly when its window has passed.
CREATE OR REPLACE TABLE shop ENGINE = Memory AS
SELECT
  uuid,
  any(event) AS event,
  any(person_id) AS person,
  any(toUnixTimestamp64Milli(timestamp)) AS at_ms,
  any(JSONExtractString(properties, 'platform')) AS platform,
  any(JSONExtractString(properties, 'acquisition_channel')) AS channel,
  any(JSONExtractString(properties, 'user_lifecycle')) AS lifecycle,
  any(JSONExtractString(properties, 'session_id')) AS session,
  any(toInt32OrZero(JSONExtractString(properties, 'session_step'))) AS step
FROM events
WHERE team_id = 1 AND toUnixTimestamp64Milli(timestamp) <= {now:Int64}
GROUP BY uuid;

WITH
  {now:Int64} AS now_ms,
  86400000 AS day_ms,
  known AS (SELECT DISTINCT person FROM shop),
  buyers AS (SELECT DISTINCT person FROM shop WHERE event = 'purchase'),
  payment_trouble AS (
    SELECT person FROM shop WHERE at_ms > now_ms - day_ms GROUP BY person
    HAVING countIf(event = 'payment_error') >= 2 AND countIf(event = 'purchase') = 0
  ),
  regulars AS (
    SELECT person FROM shop WHERE event = 'purchase' AND at_ms > now_ms - 90 * day_ms GROUP BY person
    HAVING count() >= 3
  ),
  window_shoppers AS (
    SELECT DISTINCT person FROM shop WHERE at_ms > now_ms - 30 * day_ms AND person NOT IN buyers
  ),
  first_order AS (SELECT person FROM shop WHERE event = 'purchase' GROUP BY person HAVING count() = 1),
  checkout_loop AS (
    SELECT person FROM shop WHERE event = 'shipping_details' AND at_ms > now_ms - day_ms GROUP BY person
    HAVING count() > 1
  ),
  hesitant AS (
    SELECT person FROM shop
    WHERE at_ms > now_ms - 7 * day_ms
      AND (event IN ('compare', 'wishlist_add') OR (event = 'add_to_cart' AND platform != ''))
    GROUP BY person HAVING count() > 3
  ),
  paid_arrivals AS (
    SELECT DISTINCT person FROM shop
    WHERE at_ms > now_ms - 14 * day_ms AND event IN ('home', 'promo_page') AND channel IN ('paid_search', 'social')
  ),
  deep_divers AS (
    SELECT DISTINCT person FROM shop WHERE at_ms > now_ms - 7 * day_ms AND step >= 16 AND platform != 'desktop'
  ),
  quick_searchers AS (
    SELECT person FROM shop
    WHERE event = 'search' AND at_ms > now_ms - 10 * day_ms AND step IN (1, 2) AND lifecycle != 'new'
    GROUP BY person HAVING count() >= 2
  ),
  article_readers AS (
    SELECT DISTINCT person FROM shop
    WHERE event = 'product_view' AND channel = 'organic'
      AND at_ms >= {article_from:Int64} AND at_ms < {article_to:Int64}
  ),
  first_cart AS (SELECT person, min(at_ms) AS first_ms FROM shop WHERE event = 'add_to_cart' GROUP BY person),
  fresh_carts AS (
    SELECT DISTINCT shop.person AS person FROM shop JOIN first_cart ON shop.person = first_cart.person
    WHERE event = 'add_to_cart' AND at_ms = first_ms AND first_ms > now_ms - 30 * day_ms AND platform != 'desktop'
  ),
  lapsed_searchers AS (
    SELECT person FROM shop WHERE event = 'search' GROUP BY person
    HAVING max(at_ms) > now_ms - 90 * day_ms AND max(at_ms) <= now_ms - 30 * day_ms
  ),
  returned_searchers AS (
    SELECT person FROM shop WHERE event = 'search' GROUP BY person
    HAVING countIf(at_ms <= now_ms - 28 * day_ms) > 0
      AND countIf(at_ms > now_ms - 28 * day_ms AND at_ms <= now_ms - 7 * day_ms) = 0
      AND countIf(at_ms > now_ms - 7 * day_ms) > 0
  ),
  viewing_weeks AS (
    SELECT person, intDiv(now_ms - at_ms, 7 * day_ms) AS weeks_ago FROM shop
    WHERE event = 'product_view' AND at_ms > now_ms - 28 * day_ms
    GROUP BY person, weeks_ago HAVING count() >= 2
  ),
  steady_viewers AS (SELECT person FROM viewing_weeks GROUP BY person HAVING count() >= 2),
  swift_buyers AS (
    SELECT DISTINCT cart.person AS person FROM shop AS cart JOIN shop AS buy ON cart.person = buy.person
    WHERE cart.event = 'add_to_cart' AND cart.at_ms > now_ms - 30 * day_ms
      AND buy.event = 'purchase' AND buy.at_ms > cart.at_ms AND buy.at_ms <= cart.at_ms + 2 * 3600000
  ),
  many_visits AS (
    SELECT person FROM shop WHERE at_ms > now_ms - 14 * day_ms GROUP BY person HAVING uniqExact(session) >= 3
  ),
  long_visits AS (SELECT DISTINCT person FROM shop WHERE at_ms > now_ms - 30 * day_ms AND step >= 20),
  early_deciders AS (
    SELECT person FROM shop WHERE event = 'add_to_cart' AND at_ms > now_ms - 60 * day_ms GROUP BY person
    HAVING avg(step) <= 5
  ),
  assisted AS (SELECT DISTINCT person FROM shop WHERE event = 'support_chat' AND at_ms > now_ms - 60 * day_ms),
  unassisted AS (SELECT person FROM known WHERE person NOT IN assisted),
  rarely_searching AS (
    SELECT person FROM shop GROUP BY person HAVING countIf(event = 'search' AND at_ms > now_ms - 30 * day_ms) < 3
  ),
  advisers AS (
    SELECT person FROM known
    WHERE person IN ('user_0539', 'user_0055', 'user_0428', 'user_0464', 'user_0146')
  ),
  cooling_regulars AS (
    SELECT person FROM shop WHERE person IN regulars GROUP BY person HAVING countIf(at_ms > now_ms - 14 * day_ms) <= 5
  ),
  -- What the demo makes of the regulars, by an edit: three purchases in 120 days. Who is cooling follows from it.
  edited_regulars AS (
    SELECT person FROM shop WHERE event = 'purchase' AND at_ms > now_ms - 120 * day_ms GROUP BY person
    HAVING count() >= 3
  ),
  edited_cooling_regulars AS (
    SELECT person FROM shop WHERE person IN edited_regulars GROUP BY person
    HAVING countIf(at_ms > now_ms - 14 * day_ms) <= 5
  ),
  just_bought AS (SELECT DISTINCT person FROM shop WHERE event = 'purchase' AND at_ms > now_ms - 3 * day_ms),
  just_assisted AS (SELECT DISTINCT person FROM shop WHERE event = 'support_chat' AND at_ms > now_ms - 30 * day_ms),
  worth_a_call AS (
    SELECT person FROM known
    WHERE (
      person IN payment_trouble
      OR person IN checkout_loop
      OR (person IN hesitant AND person IN window_shoppers AND person NOT IN just_assisted)
    ) AND person NOT IN just_bought
  )
SELECT 'known' AS cohort, groupArray(person) AS persons FROM known
UNION ALL SELECT 'payment-trouble', groupArray(person) FROM payment_trouble
UNION ALL SELECT 'regulars', groupArray(person) FROM regulars
UNION ALL SELECT 'window-shoppers', groupArray(person) FROM window_shoppers
UNION ALL SELECT 'first-order', groupArray(person) FROM first_order
UNION ALL SELECT 'checkout-loop', groupArray(person) FROM checkout_loop
UNION ALL SELECT 'hesitant', groupArray(person) FROM hesitant
UNION ALL SELECT 'paid-arrivals', groupArray(person) FROM paid_arrivals
UNION ALL SELECT 'deep-divers', groupArray(person) FROM deep_divers
UNION ALL SELECT 'quick-searchers', groupArray(person) FROM quick_searchers
UNION ALL SELECT 'article-readers', groupArray(person) FROM article_readers
UNION ALL SELECT 'fresh-carts', groupArray(person) FROM fresh_carts
UNION ALL SELECT 'lapsed-searchers', groupArray(person) FROM lapsed_searchers
UNION ALL SELECT 'returned-searchers', groupArray(person) FROM returned_searchers
UNION ALL SELECT 'steady-viewers', groupArray(person) FROM steady_viewers
UNION ALL SELECT 'swift-buyers', groupArray(person) FROM swift_buyers
UNION ALL SELECT 'many-visits', groupArray(person) FROM many_visits
UNION ALL SELECT 'long-visits', groupArray(person) FROM long_visits
UNION ALL SELECT 'early-deciders', groupArray(person) FROM early_deciders
UNION ALL SELECT 'unassisted', groupArray(person) FROM unassisted
UNION ALL SELECT 'rarely-searching', groupArray(person) FROM rarely_searching
UNION ALL SELECT 'advisers', groupArray(person) FROM advisers
UNION ALL SELECT 'cooling-regulars', groupArray(person) FROM cooling_regulars
UNION ALL SELECT 'worth-a-call', groupArray(person) FROM worth_a_call
UNION ALL SELECT 'regulars (edited)', groupArray(person) FROM edited_regulars
UNION ALL SELECT 'cooling-regulars (edited)', groupArray(person) FROM edited_cooling_regulars
