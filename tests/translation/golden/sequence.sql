WITH {now:Int64} AS now,
source AS (
    SELECT person_id, event, time_ms, CRC32(lower(uuid)) AS tag, properties, '' AS person_properties FROM log
),
marked AS (
    SELECT
        person_id,
        time_ms,
        tag,
        (event = 'signup') AND time_ms > now - 2592000000 AS s0,
        (event = 'upgrade') AND time_ms > now - 2592000000 AS s1
    FROM source
    WHERE s0 OR s1
),
timelines AS (
    SELECT
        person_id,
        arraySort(groupUniqArrayIf((time_ms, tag), s0)) AS t0,
        arraySort(groupUniqArrayIf((time_ms, tag), s1)) AS t1
    FROM marked
    GROUP BY person_id
),
kept AS (
    SELECT
        person_id,
        arrayConcat(CAST(arrayMap(e -> (0, e.1, e.2, NULL), arrayDistinct(arrayFlatten(arrayMap(completed -> arrayFilter(e -> e.1 >= completed AND e.1 > now - 2592000000, t0), [arrayMax(arrayPushBack(arrayMap(pair -> pair.2.1, arrayFilter(pair -> pair.1.2 = 0 AND pair.2.2 = 1 AND pair.1.1 <= pair.2.1 + 172800000, arrayZip(arraySort(arrayConcat(arrayMap(e -> (e.1, 0), arrayFilter(e -> e.1 <= now, t1)), arrayMap(e -> (e.1, 1), arrayFilter(e -> e.1 > now - 2592000000 AND e.1 <= now, t0)))), arrayFill(e -> e.2 = 1, arraySort(arrayConcat(arrayMap(e -> (e.1, 0), arrayFilter(e -> e.1 <= now, t1)), arrayMap(e -> (e.1, 1), arrayFilter(e -> e.1 > now - 2592000000 AND e.1 <= now, t0)))))))), now - 2592000000))])))), 'Array(Tuple(UInt32, Int64, UInt32, Nullable(Int64)))'), CAST(arrayMap(e -> (1, e.1, e.2, NULL), arrayDistinct(arrayFlatten(arrayMap(completed -> arrayConcat(arrayFilter((e, first, last) -> e.1 > completed AND (first <= 1 OR last <= 1 OR e.1 > now), arrayFilter(e -> e.1 > completed AND e.1 <= now, t1), arrayEnumerateUniq(arrayMap(e -> intDiv(e.1, 172800000), arrayFilter(e -> e.1 > completed AND e.1 <= now, t1))), arrayReverse(arrayEnumerateUniq(arrayReverse(arrayMap(e -> intDiv(e.1, 172800000), arrayFilter(e -> e.1 > completed AND e.1 <= now, t1)))))), arrayFilter(e -> e.1 > now AND e.1 > completed, t1)), [arrayMax(arrayPushBack(arrayMap(pair -> pair.2.1, arrayFilter(pair -> pair.1.2 = 0 AND pair.2.2 = 1 AND pair.1.1 <= pair.2.1 + 172800000, arrayZip(arraySort(arrayConcat(arrayMap(e -> (e.1, 0), arrayFilter(e -> e.1 <= now, t1)), arrayMap(e -> (e.1, 1), arrayFilter(e -> e.1 > now - 2592000000 AND e.1 <= now, t0)))), arrayFill(e -> e.2 = 1, arraySort(arrayConcat(arrayMap(e -> (e.1, 0), arrayFilter(e -> e.1 <= now, t1)), arrayMap(e -> (e.1, 1), arrayFilter(e -> e.1 > now - 2592000000 AND e.1 <= now, t0)))))))), now - 2592000000))])))), 'Array(Tuple(UInt32, Int64, UInt32, Nullable(Int64)))')) AS entries
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
        (event = 'signup') AND time_ms > now - 2592000000 AS s0,
        (event = 'upgrade') AND time_ms > now - 2592000000 AS s1
    FROM source
    WHERE s0 OR s1
),
timelines AS (
    SELECT
        person_id,
        arraySort(groupUniqArrayIf((time_ms, tag), s0)) AS t0,
        arraySort(groupUniqArrayIf((time_ms, tag), s1)) AS t1
    FROM marked
    GROUP BY person_id
),
persons AS (
    SELECT DISTINCT person_id FROM source
),
verdicts AS (
    SELECT
        person_id,
        (notEmpty(arrayMap(pair -> pair.2.1, arrayFilter(pair -> pair.1.2 = 0 AND pair.2.2 = 1 AND pair.1.1 <= pair.2.1 + 172800000, arrayZip(arraySort(arrayConcat(arrayMap(e -> (e.1, 0), arrayFilter(e -> e.1 <= now, t1)), arrayMap(e -> (e.1, 1), arrayFilter(e -> e.1 > now - 2592000000 AND e.1 <= now, t0)))), arrayFill(e -> e.2 = 1, arraySort(arrayConcat(arrayMap(e -> (e.1, 0), arrayFilter(e -> e.1 <= now, t1)), arrayMap(e -> (e.1, 1), arrayFilter(e -> e.1 > now - 2592000000 AND e.1 <= now, t0)))))))))) AS c0
    FROM persons LEFT JOIN timelines USING (person_id)
)
SELECT cohort, person_id
FROM verdicts
ARRAY JOIN if(c0, ['somebody'], []) AS cohort
