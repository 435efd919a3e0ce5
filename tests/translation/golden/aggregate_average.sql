WITH {now:Int64} AS now,
(json, name) -> multiIf(
    JSONType(json, name) IN ('Int64', 'UInt64', 'Double'), JSONExtractFloat(json, name),
    match(JSONExtractString(json, name), '^[-+]?(?:[0-9]+(?:\\.[0-9]*)?|\\.[0-9]+)(?:[eE][-+]?[0-9]+)?$')
        AND isFinite(toFloat64OrNull(JSONExtractString(json, name))),
        toFloat64OrNull(JSONExtractString(json, name)),
    NULL
) AS number_of,
(number) -> if(
    abs(number) <= 9223372036854, toInt64(round(number * 1000000)), NULL
) AS fixed_point_of,
source AS (
    SELECT person_id, event, time_ms, CRC32(lower(uuid)) AS tag, properties, '' AS person_properties FROM log
),
marked AS (
    SELECT
        person_id,
        time_ms,
        tag,
        fixed_point_of(number_of(properties, 'price')) AS v0,
        (event = 'purchase') AND time_ms > now - 2592000000 AND isNotNull(v0) AS s0
    FROM source
    WHERE s0
),
timelines AS (
    SELECT
        person_id,
        arraySort(groupUniqArrayIf((time_ms, tag, assumeNotNull(v0)), s0)) AS t0
    FROM marked
    GROUP BY person_id
),
kept AS (
    SELECT
        person_id,
        CAST(arrayMap(e -> (0, e.1, e.2, e.3), arrayDistinct(arrayConcat(arrayFilter(e -> e.1 > now - 2592000000 AND e.1 <= now, t0), arrayFilter(e -> e.1 > now, t0)))), 'Array(Tuple(UInt32, Int64, UInt32, Nullable(Int64)))') AS entries
    FROM timelines
)
SELECT person_id, entries, [] AS registers
FROM kept
WHERE notEmpty(entries) OR notEmpty(registers)
;
WITH {now:Int64} AS now,
(json, name) -> multiIf(
    JSONType(json, name) IN ('Int64', 'UInt64', 'Double'), JSONExtractFloat(json, name),
    match(JSONExtractString(json, name), '^[-+]?(?:[0-9]+(?:\\.[0-9]*)?|\\.[0-9]+)(?:[eE][-+]?[0-9]+)?$')
        AND isFinite(toFloat64OrNull(JSONExtractString(json, name))),
        toFloat64OrNull(JSONExtractString(json, name)),
    NULL
) AS number_of,
(number) -> if(
    abs(number) <= 9223372036854, toInt64(round(number * 1000000)), NULL
) AS fixed_point_of,
source AS (
    SELECT person_id, event, time_ms, CRC32(lower(uuid)) AS tag, properties, '' AS person_properties FROM log
),
marked AS (
    SELECT
        person_id,
        time_ms,
        tag,
        fixed_point_of(number_of(properties, 'price')) AS v0,
        (event = 'purchase') AND time_ms > now - 2592000000 AND isNotNull(v0) AS s0
    FROM source
    WHERE s0
),
timelines AS (
    SELECT
        person_id,
        arraySort(groupUniqArrayIf((time_ms, tag, assumeNotNull(v0)), s0)) AS t0
    FROM marked
    GROUP BY person_id
),
persons AS (
    SELECT DISTINCT person_id FROM source
),
verdicts AS (
    SELECT
        person_id,
        (notEmpty(arrayFilter(e -> e.1 > now - 2592000000 AND e.1 <= now, t0)) AND arraySum(arrayMap(e -> toInt128(e.3), arrayFilter(e -> e.1 > now - 2592000000 AND e.1 <= now, t0))) > toInt128((-10000000)) * length(arrayFilter(e -> e.1 > now - 2592000000 AND e.1 <= now, t0))) AS c0
    FROM persons LEFT JOIN timelines USING (person_id)
)
SELECT cohort, person_id
FROM verdicts
ARRAY JOIN if(c0, ['somebody'], []) AS cohort
