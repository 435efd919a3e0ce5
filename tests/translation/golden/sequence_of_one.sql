WITH {now:Int64} AS now,
source AS (
    SELECT person_id, event, time_ms, CRC32(lower(uuid)) AS tag, properties, '' AS person_properties FROM log
),
marked AS (
    SELECT
        person_id,
        time_ms,
        tag,
        (event = 'login') AND time_ms > 1768175999999 AS s0
    FROM source
    WHERE s0
),
timelines AS (
    SELECT
        person_id,
        arraySort(groupUniqArrayIf((time_ms, tag), s0)) AS t0
    FROM marked
    GROUP BY person_id
),
kept AS (
    SELECT
        person_id,
        CAST(arrayMap(e -> (0, e.1, e.2, NULL), arrayDistinct(arrayConcat(arrayFlatten(arrayMap(completed -> arrayFilter(e -> e.1 >= completed AND e.1 > 1768175999999 AND e.1 <= 1770854400000, t0), [arrayMax(arrayPushBack(arrayMap(pair -> pair.2.1, arrayFilter(pair -> pair.1.2 = 0 AND pair.2.2 = 1 AND pair.1.1 <= pair.2.1 + 172800000, arrayZip(arraySort(arrayConcat(arrayMap(e -> (e.1, 0), arrayFilter(e -> e.1 <= now, t0)), arrayMap(e -> (e.1, 1), arrayFilter(e -> e.1 > 1768175999999 AND e.1 <= least(now, 1770854400000), t0)))), arrayFill(e -> e.2 = 1, arraySort(arrayConcat(arrayMap(e -> (e.1, 0), arrayFilter(e -> e.1 <= now, t0)), arrayMap(e -> (e.1, 1), arrayFilter(e -> e.1 > 1768175999999 AND e.1 <= least(now, 1770854400000), t0)))))))), 1768175999999))])), arrayFlatten(arrayMap(completed -> arrayConcat(arrayFilter((e, first, last) -> e.1 > completed AND (first <= 1 OR last <= 1 OR e.1 > now), arrayFilter(e -> e.1 > completed AND e.1 <= now AND e.1 <= 1771027200000, t0), arrayEnumerateUniq(arrayMap(e -> intDiv(e.1, 172800000), arrayFilter(e -> e.1 > completed AND e.1 <= now AND e.1 <= 1771027200000, t0))), arrayReverse(arrayEnumerateUniq(arrayReverse(arrayMap(e -> intDiv(e.1, 172800000), arrayFilter(e -> e.1 > completed AND e.1 <= now AND e.1 <= 1771027200000, t0)))))), arrayFilter(e -> e.1 > now AND e.1 > completed AND e.1 <= 1771027200000, t0)), [arrayMax(arrayPushBack(arrayMap(pair -> pair.2.1, arrayFilter(pair -> pair.1.2 = 0 AND pair.2.2 = 1 AND pair.1.1 <= pair.2.1 + 172800000, arrayZip(arraySort(arrayConcat(arrayMap(e -> (e.1, 0), arrayFilter(e -> e.1 <= now, t0)), arrayMap(e -> (e.1, 1), arrayFilter(e -> e.1 > 1768175999999 AND e.1 <= least(now, 1770854400000), t0)))), arrayFill(e -> e.2 = 1, arraySort(arrayConcat(arrayMap(e -> (e.1, 0), arrayFilter(e -> e.1 <= now, t0)), arrayMap(e -> (e.1, 1), arrayFilter(e -> e.1 > 1768175999999 AND e.1 <= least(now, 1770854400000), t0)))))))), 1768175999999))]))))), 'Array(Tuple(UInt32, Int64, UInt32, Nullable(Int64)))') AS entries
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
        (event = 'login') AND time_ms > 1768175999999 AS s0
    FROM source
    WHERE s0
),
timelines AS (
    SELECT
        person_id,
        arraySort(groupUniqArrayIf((time_ms, tag), s0)) AS t0
    FROM marked
    GROUP BY person_id
),
persons AS (
    SELECT DISTINCT person_id FROM source
),
verdicts AS (
    SELECT
        person_id,
        (notEmpty(arrayMap(pair -> pair.2.1, arrayFilter(pair -> pair.1.2 = 0 AND pair.2.2 = 1 AND pair.1.1 <= pair.2.1 + 172800000, arrayZip(arraySort(arrayConcat(arrayMap(e -> (e.1, 0), arrayFilter(e -> e.1 <= now, t0)), arrayMap(e -> (e.1, 1), arrayFilter(e -> e.1 > 1768175999999 AND e.1 <= least(now, 1770854400000), t0)))), arrayFill(e -> e.2 = 1, arraySort(arrayConcat(arrayMap(e -> (e.1, 0), arrayFilter(e -> e.1 <= now, t0)), arrayMap(e -> (e.1, 1), arrayFilter(e -> e.1 > 1768175999999 AND e.1 <= least(now, 1770854400000), t0)))))))))) AS c0
    FROM persons LEFT JOIN timelines USING (person_id)
)
SELECT cohort, person_id
FROM verdicts
ARRAY JOIN if(c0, ['somebody'], []) AS cohort
