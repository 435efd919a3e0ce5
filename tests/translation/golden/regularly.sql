WITH {now:Int64} AS now,
source AS (
    SELECT person_id, event, time_ms, CRC32(lower(uuid)) AS tag, properties, '' AS person_properties FROM log
),
marked AS (
    SELECT
        person_id,
        time_ms,
        tag,
        (event = 'login') AND time_ms > now - 2419200000 AS s0
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
        CAST(arrayMap(e -> (0, e.1, e.2, NULL), arrayDistinct(arrayFilter((e, first, last) -> e.1 > now - 2419200000 AND (first <= 2 OR last <= 2 OR e.1 > now), t0, arrayEnumerateUniq(arrayMap(e -> intDiv(e.1, 604800000), t0)), arrayReverse(arrayEnumerateUniq(arrayReverse(arrayMap(e -> intDiv(e.1, 604800000), t0))))))), 'Array(Tuple(UInt32, Int64, UInt32, Nullable(Int64)))') AS entries
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
        (event = 'login') AND time_ms > now - 2419200000 AS s0
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
        (arrayCount(number -> number = 2, arrayEnumerateUniq(arrayMap(e -> intDiv(now - e.1, 604800000), arrayFilter(e -> e.1 > now - 2419200000 AND e.1 <= now, t0)))) >= 3) AS c0
    FROM persons LEFT JOIN timelines USING (person_id)
)
SELECT cohort, person_id
FROM verdicts
ARRAY JOIN if(c0, ['somebody'], []) AS cohort
