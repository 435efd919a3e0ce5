WITH {now:Int64} AS now,
source AS (
    SELECT person_id, event, time_ms, CRC32(lower(uuid)) AS tag, properties, '' AS person_properties FROM log
),
marked AS (
    SELECT
        person_id,
        time_ms,
        tag,
        (event = 'refund') AND time_ms > now - 2592000000 AS s0,
        (event = 'purchase') AND time_ms > now - 7776000000 AS s1,
        ((event = 'upgrade') OR (isValidJSON(properties) AND (JSONType(properties, 'vip') != 'Null'))) AND time_ms > now - 86400000 AS s2
    FROM source
    WHERE s0 OR s1 OR s2
),
timelines AS (
    SELECT
        person_id,
        arraySort(groupUniqArrayIf((time_ms, tag), s0)) AS t0,
        arraySort(groupUniqArrayIf((time_ms, tag), s1)) AS t1,
        arraySort(groupUniqArrayIf((time_ms, tag), s2)) AS t2
    FROM marked
    GROUP BY person_id
),
kept AS (
    SELECT
        person_id,
        arrayConcat(CAST(arrayMap(e -> (0, e.1, e.2, NULL), arrayDistinct(arrayConcat(arraySlice(arrayFilter(e -> e.1 > now - 2592000000 AND e.1 <= now, t0), -1), arrayFilter(e -> e.1 > now, t0)))), 'Array(Tuple(UInt32, Int64, UInt32, Nullable(Int64)))'), CAST(arrayMap(e -> (1, e.1, e.2, NULL), arrayDistinct(arrayConcat(arraySlice(arrayFilter(e -> e.1 > now - 7776000000 AND e.1 <= now, t1), -3), arrayFilter(e -> e.1 > now, t1)))), 'Array(Tuple(UInt32, Int64, UInt32, Nullable(Int64)))'), CAST(arrayMap(e -> (2, e.1, e.2, NULL), arrayDistinct(arrayConcat(arraySlice(arrayFilter(e -> e.1 > now - 86400000 AND e.1 <= now, t2), -1), arrayFilter(e -> e.1 > now, t2)))), 'Array(Tuple(UInt32, Int64, UInt32, Nullable(Int64)))')) AS entries
    FROM timelines
)
SELECT person_id, entries, [] AS registers
FROM kept
WHERE notEmpty(entries) OR notEmpty(registers)
;
WITH {now:Int64} AS now,
source AS (
    SELECT person_id, event, time_ms, CRC32(lower(uuid)) AS tag, properties, '' AS person_properties FROM log
),
marked AS (
    SELECT
        person_id,
        time_ms,
        tag,
        (event = 'refund') AND time_ms > now - 2592000000 AS s0,
        (event = 'purchase') AND time_ms > now - 7776000000 AS s1,
        ((event = 'upgrade') OR (isValidJSON(properties) AND (JSONType(properties, 'vip') != 'Null'))) AND time_ms > now - 86400000 AS s2
    FROM source
    WHERE s0 OR s1 OR s2
),
timelines AS (
    SELECT
        person_id,
        arraySort(groupUniqArrayIf((time_ms, tag), s0)) AS t0,
        arraySort(groupUniqArrayIf((time_ms, tag), s1)) AS t1,
        arraySort(groupUniqArrayIf((time_ms, tag), s2)) AS t2
    FROM marked
    GROUP BY person_id
),
persons AS (
    SELECT DISTINCT person_id FROM source
),
verdicts AS (
    SELECT
        person_id,
        (notEmpty(arrayFilter(e -> e.1 > now - 2592000000 AND e.1 <= now, t0))) AS c0,
        (length(arrayFilter(e -> e.1 > now - 7776000000 AND e.1 <= now, t1)) >= 3) AS c1,
        (notEmpty(arrayFilter(e -> e.1 > now - 86400000 AND e.1 <= now, t2))) AS c2
    FROM persons LEFT JOIN timelines USING (person_id)
)
SELECT cohort, person_id
FROM verdicts
ARRAY JOIN if((NOT c0 AND (c1 OR c2)), ['somebody'], []) AS cohort
