WITH {now:Int64} AS now,
(raw) -> replaceAll(
    arrayFold(
        (text, code) -> replaceAll(text, concat('\\u00', code), concat('\\u00', lower(code))),
        ['0B', '0E', '0F', '1A', '1B', '1C', '1D', '1E', '1F'],
        replaceAll(replaceAll(replaceAll(
            replaceRegexpAll(raw, '("(?:[^"\\\\]|\\\\.)*")|-(0[,\\]}])', '\\1\\2'),
            '\\\\', char(0)), '\\u2028', char(226, 128, 168)), '\\u2029', char(226, 128, 169))
    ), char(0), '\\\\'
) AS compact,
(json, name) -> multiIf(
    JSONType(json, name) IN ('Array', 'Object'), compact(JSONExtractRaw(json, name)),
    JSONType(json, name) = 'Double' AND JSONExtractString(json, name) = '-0', '0',
    JSONExtractString(json, name)
) AS text_of,
source AS (
    SELECT person_id, event, time_ms, CRC32(lower(uuid)) AS tag, properties, '' AS person_properties FROM log
),
marked AS (
    SELECT
        person_id,
        time_ms,
        tag,
        (event = 'purchase' AND isValidJSON(properties) AND ((JSONType(properties, 'plan') != 'Null') AND text_of(properties, 'plan') IN ('pro', 'team'))) AND time_ms > 1768175999999 AS s0
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
        CAST(arrayMap(e -> (0, e.1, e.2, NULL), arrayDistinct(arrayConcat(arraySlice(arrayFilter(e -> e.1 > 1768175999999 AND e.1 <= least(now, 1770897600000), t0), -1), arrayFilter(e -> e.1 > greatest(now, 1768175999999) AND e.1 <= 1770897600000, t0)))), 'Array(Tuple(UInt32, Int64, UInt32, Nullable(Int64)))') AS entries
    FROM timelines
)
SELECT person_id, entries, [] AS registers
FROM kept
WHERE notEmpty(entries) OR notEmpty(registers)
;
WITH {now:Int64} AS now,
(raw) -> replaceAll(
    arrayFold(
        (text, code) -> replaceAll(text, concat('\\u00', code), concat('\\u00', lower(code))),
        ['0B', '0E', '0F', '1A', '1B', '1C', '1D', '1E', '1F'],
        replaceAll(replaceAll(replaceAll(
            replaceRegexpAll(raw, '("(?:[^"\\\\]|\\\\.)*")|-(0[,\\]}])', '\\1\\2'),
            '\\\\', char(0)), '\\u2028', char(226, 128, 168)), '\\u2029', char(226, 128, 169))
    ), char(0), '\\\\'
) AS compact,
(json, name) -> multiIf(
    JSONType(json, name) IN ('Array', 'Object'), compact(JSONExtractRaw(json, name)),
    JSONType(json, name) = 'Double' AND JSONExtractString(json, name) = '-0', '0',
    JSONExtractString(json, name)
) AS text_of,
source AS (
    SELECT person_id, event, time_ms, CRC32(lower(uuid)) AS tag, properties, '' AS person_properties FROM log
),
marked AS (
    SELECT
        person_id,
        time_ms,
        tag,
        (event = 'purchase' AND isValidJSON(properties) AND ((JSONType(properties, 'plan') != 'Null') AND text_of(properties, 'plan') IN ('pro', 'team'))) AND time_ms > 1768175999999 AS s0
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
        (notEmpty(arrayFilter(e -> e.1 > 1768175999999 AND e.1 <= least(now, 1770897600000), t0))) AS c0
    FROM persons LEFT JOIN timelines USING (person_id)
)
SELECT cohort, person_id
FROM verdicts
ARRAY JOIN if(c0, ['somebody'], []) AS cohort
