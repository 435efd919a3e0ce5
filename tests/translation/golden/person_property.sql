WITH {now:Int64} AS now,
(name, json, snapshot, time_ms) -> arrayConcat(
    multiIf(
        JSONHas(json, '$unset', name) OR has(JSONExtract(json, '$unset', 'Array(String)'), name),
            [(name, time_ms, 'null')],
        JSONHas(json, '$set', name), [(name, time_ms, JSONExtractRaw(json, '$set', name))],
        JSONHas(snapshot, name), [(name, time_ms, JSONExtractRaw(snapshot, name))],
        []
    ),
    if(JSONHas(json, '$set_once', name), [(name, -time_ms, JSONExtractRaw(json, '$set_once', name))], [])
) AS writes_of,
source AS (
    SELECT person_id, event, time_ms, CRC32(lower(uuid)) AS tag, properties, '' AS person_properties FROM log
),
writes AS (
    SELECT person_id, write.1 AS name, write.2 AS version, write.3 AS value
    FROM source
    ARRAY JOIN arrayFlatten(
        arrayMap(name -> writes_of(name, properties, person_properties, time_ms), ['plan'])
    ) AS write
    WHERE length(value) <= 1024
),
written AS (
    SELECT
        person_id,
        groupArray((name, latest.1, latest.2)) AS registers
    FROM (SELECT person_id, name, max((version, value)) AS latest FROM writes GROUP BY person_id, name)
    GROUP BY person_id
)
SELECT person_id, [] AS entries, registers
FROM written
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
(micros) -> intDiv(micros - positiveModulo(micros, 1000), 1000) AS milliseconds_at_or_below,
(seconds) -> if(
    seconds BETWEEN -62135596800 AND 253402300799, milliseconds_at_or_below(toInt64(round(seconds * 1e6))), NULL
) AS milliseconds_of_seconds,
(year, month, day) -> (
    365 * (year - (month < 3)) + intDiv(year - (month < 3), 4) - intDiv(year - (month < 3), 100)
    + intDiv(year - (month < 3), 400) + intDiv(153 * (month + if(month < 3, 9, -3)) + 2, 5) + day - 719469
) AS days_since_1970,
(year, month, day) -> (
    year > 0 AND day <= [31, if(year % 4 = 0 AND (year % 100 != 0 OR year % 400 = 0), 29, 28),
        31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month]
) AS is_day,
(parts) -> if(
    is_day(toInt64OrZero(parts[1]), toInt64OrZero(parts[2]), toInt64OrZero(parts[3])),
    days_since_1970(toInt64OrZero(parts[1]), toInt64OrZero(parts[2]), toInt64OrZero(parts[3])) * 86400000
        + toInt64OrZero(parts[4]) * 3600000 + toInt64OrZero(parts[5]) * 60000 + toInt64OrZero(parts[6]) * 1000
        + toInt64OrZero(substring(concat(parts[7], '000'), 1, 3))
        - if(parts[8] = '-', -1, 1) * (toInt64OrZero(parts[9]) * 3600000 + toInt64OrZero(parts[10]) * 60000),
    NULL
) AS milliseconds_of_parts,
(json, name) -> if(
    match(JSONExtractString(json, name), '^([0-9]\x7B4\x7D)-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])(?:[T ]([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9])(?:\\.([0-9]\x7B1,9\x7D))?)?(?:Z|([+-])([01][0-9]|2[0-3])(?::?([0-5][0-9]))?)?)?$'),
    arrayMap(parts -> milliseconds_of_parts(parts), [extractGroups(JSONExtractString(json, name), '^([0-9]\x7B4\x7D)-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])(?:[T ]([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9])(?:\\.([0-9]\x7B1,9\x7D))?)?(?:Z|([+-])([01][0-9]|2[0-3])(?::?([0-5][0-9]))?)?)?$')])[1],
    milliseconds_of_seconds(number_of(json, name))
) AS instant_of,
(name, json, snapshot, time_ms) -> arrayConcat(
    multiIf(
        JSONHas(json, '$unset', name) OR has(JSONExtract(json, '$unset', 'Array(String)'), name),
            [(name, time_ms, 'null')],
        JSONHas(json, '$set', name), [(name, time_ms, JSONExtractRaw(json, '$set', name))],
        JSONHas(snapshot, name), [(name, time_ms, JSONExtractRaw(snapshot, name))],
        []
    ),
    if(JSONHas(json, '$set_once', name), [(name, -time_ms, JSONExtractRaw(json, '$set_once', name))], [])
) AS writes_of,
source AS (
    SELECT person_id, event, time_ms, CRC32(lower(uuid)) AS tag, properties, '' AS person_properties FROM log
),
writes AS (
    SELECT person_id, write.1 AS name, write.2 AS version, write.3 AS value
    FROM source
    ARRAY JOIN arrayFlatten(
        arrayMap(name -> writes_of(name, properties, person_properties, time_ms), ['plan'])
    ) AS write
    WHERE length(value) <= 1024
),
registers AS (
    SELECT
        person_id,
        if(countIf(name = 'plan') > 0, concat('\x7B"plan":', maxIf((version, value), name = 'plan').2, '\x7D'), '') AS r0
    FROM writes
    GROUP BY person_id
),
persons AS (
    SELECT DISTINCT person_id FROM source
),
verdicts AS (
    SELECT
        person_id,
        (ifNull(instant_of(r0, 'plan') < now - 604800000, false)) AS c0
    FROM persons LEFT JOIN registers USING (person_id)
)
SELECT cohort, person_id
FROM verdicts
ARRAY JOIN if(c0, ['somebody'], []) AS cohort
