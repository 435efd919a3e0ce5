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
(text) -> reinterpretAsInt64(substring(MD5(text), 1, 8)) AS hash_of,
source AS (
    SELECT person_id, event, time_ms, CRC32(lower(uuid)) AS tag, properties, '' AS person_properties FROM log
),
marked AS (
    SELECT
        person_id,
        time_ms,
        tag,
        if(JSONType(properties, 'country') != 'Null', hash_of(text_of(properties, 'country')), NULL) AS v0,
        true AND time_ms > 1768175999999 AND isNotNull(v0) AS s0
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
        CAST(arrayMap(e -> (0, e.1, e.2, e.3), arrayDistinct(arrayConcat(arraySlice(arrayFilter((e, nth) -> nth = 1, arrayReverse(arrayFilter(e -> e.1 > 1768175999999 AND e.1 <= now, t0)), arrayEnumerateUniq(arrayMap(e -> e.3, arrayReverse(arrayFilter(e -> e.1 > 1768175999999 AND e.1 <= now, t0))))), 1, 4), arrayFilter(e -> e.1 > greatest(now, 1768175999999), t0)))), 'Array(Tuple(UInt32, Int64, UInt32, Nullable(Int64)))') AS entries
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
(text) -> reinterpretAsInt64(substring(MD5(text), 1, 8)) AS hash_of,
source AS (
    SELECT person_id, event, time_ms, CRC32(lower(uuid)) AS tag, properties, '' AS person_properties FROM log
),
marked AS (
    SELECT
        person_id,
        time_ms,
        tag,
        if(JSONType(properties, 'country') != 'Null', hash_of(text_of(properties, 'country')), NULL) AS v0,
        true AND time_ms > 1768175999999 AND isNotNull(v0) AS s0
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
        (length(arrayDistinct(arrayMap(e -> e.3, arrayFilter(e -> e.1 > 1768175999999 AND e.1 <= now, t0)))) < 3) AS c0
    FROM persons LEFT JOIN timelines USING (person_id)
)
SELECT cohort, person_id
FROM verdicts
ARRAY JOIN if(c0, ['somebody'], []) AS cohort
