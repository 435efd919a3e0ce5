WITH {now:Int64} AS now,
source AS (
    SELECT person_id, event, time_ms, CRC32(lower(uuid)) AS tag, properties, '' AS person_properties FROM log
),
marked AS (
    SELECT
        person_id,
        time_ms,
        tag,
        true AND time_ms > now - 604800000 AS s0
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
        arrayDistinct(arrayConcat(arraySlice(arrayFilter(e -> e.1 > now - 604800000 AND e.1 <= now, t0), -4), arrayFilter(e -> e.1 > now, t0))) AS k0
    FROM timelines
)
SELECT person_id, row.1 AS selector, row.2 AS time_ms, row.3 AS tag, CAST(row.4, 'Nullable(Int64)') AS value
FROM kept
ARRAY JOIN arrayMap(e -> (0, e.1, e.2, NULL), k0) AS row
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
        true AND time_ms > now - 604800000 AS s0
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
        (length(arrayFilter(e -> e.1 > now - 604800000 AND e.1 <= now, t0)) = 3) AS c0
    FROM persons LEFT JOIN timelines USING (person_id)
)
SELECT cohort, person_id
FROM verdicts
ARRAY JOIN if(c0, ['somebody'], []) AS cohort
